//! Words for what machines say, one line each.

use cluster_core::agent;
use cluster_core::primary;
use cluster_core::{Grant, HandleName, HandleToken, ToPrimary, ToWorker};

use super::kernel::listener_of;

/// A connection's letter.
pub(crate) fn letter(number: usize) -> String {
    match u8::try_from(number) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        _ => format!("c{number}"),
    }
}

/// What sharers are to know, if there is something.
pub(crate) fn data(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    format!(", data {}", String::from_utf8_lossy(bytes))
}

pub(crate) fn primary_action(action: &primary::Action) -> String {
    use primary::Action;

    match action {
        Action::Spawn { worker } => format!("spawn {worker}"),
        Action::Signal { worker, signal } => format!("signal {worker} {signal}"),
        Action::Send { worker, message, handle } => {
            format!("say to {worker}: {}{}", to_worker(message), riding(handle.as_ref()))
        }
        Action::Lend { worker, message, listener } => {
            format!("say to {worker}: {}, with a copy of l{}", to_worker(message), listener.0)
        }
        Action::EndChannel { worker } => format!("end the channel to {worker}"),
        Action::Listen { listener, spec } => {
            format!("bind l{} to {}, backlog {}", listener.0, spec.address, spec.backlog)
        }
        Action::ResumeAccept { listener } => format!("accept from l{}", listener.0),
        Action::PauseAccept { listener } => format!("pause l{}", listener.0),
        Action::CloseListener { listener } => format!("close l{}", listener.0),
        Action::Close { connection, why } => {
            format!("close {}: {}", token(connection), format!("{why:?}").to_lowercase())
        }
    }
}

pub(crate) fn primary_event(event: &primary::Event) -> String {
    use primary::Event;

    match event {
        Event::Fork { worker, pid } => format!("* fork {worker} pid {pid}"),
        Event::SpawnFailed { worker, error } => format!("* spawn failed {worker} {error}"),
        Event::Online { worker } => format!("* online {worker}"),
        Event::Listening { worker, address } => format!("* listening {worker} {address}"),
        Event::Draining { worker } => format!("* draining {worker}"),
        Event::Disconnect { worker, exited_after_disconnect } => {
            format!("* disconnect {worker} exited_after_disconnect={exited_after_disconnect}")
        }
        Event::Exit { worker, pid: _, status, exited_after_disconnect } => {
            format!("* exit {worker} {status} exited_after_disconnect={exited_after_disconnect}")
        }
        Event::AcceptFailed { address, error } => format!("* accept failed {address} {error}"),
        Event::Farewell { id } => format!("* farewell {}", id.0),
    }
}

pub(crate) fn agent_action(action: &agent::Action) -> String {
    use agent::Action;

    match action {
        Action::Send { message, handle } => {
            let name = handle.as_ref().map(HandleToken::name);
            format!("say: {}{}", to_primary(message), riding(name.as_ref()))
        }
        Action::Deliver { listener, connection, peer: _ } => {
            format!("deliver {} from l{}", token(connection), listener.0)
        }
        Action::Adopt { listener, socket: _ } => format!("adopt l{}", listener.0),
        Action::Close { connection } => format!("close {}", token(connection)),
        Action::WatchIdle => "watch for idleness".to_owned(),
        Action::CloseChannel => "close the channel".to_owned(),
        Action::Exit { code } => format!("exit with {code}"),
        Action::Raise { signal } => format!("raise {signal}"),
    }
}

pub(crate) fn agent_event(event: &agent::Event) -> String {
    use agent::Event;

    match event {
        Event::Listening { request, listener, address, data: known } => {
            format!("* listening r{} l{} {address}{}", request.0, listener.0, data(known))
        }
        Event::ListenFailed { request, error } => {
            format!("* listen failed r{}: {error}", request.0)
        }
        Event::Available { listener } => format!("* available l{}", listener.0),
        Event::Closed { listener } => format!("* closed l{}", listener.0),
        Event::Draining => "* draining".to_owned(),
        Event::Disconnect => "* disconnect".to_owned(),
    }
}

fn to_primary(message: &ToPrimary) -> String {
    match message {
        ToPrimary::Online => "online".to_owned(),
        ToPrimary::Listen { request, spec } => {
            format!("listen r{} {}{}", request.0, spec.address, data(&spec.data))
        }
        ToPrimary::Listening { listener } => format!("listening l{}", listener.0),
        ToPrimary::Close { listener } => format!("close l{}", listener.0),
        ToPrimary::Taken { handoff } => format!("taken h{}", handoff.0),
        ToPrimary::Refused { handoff } => format!("refused h{}", handoff.0),
        ToPrimary::Returned { listener, peer: _ } => format!("returned l{}", listener.0),
        ToPrimary::Leaving => "leaving".to_owned(),
        other => panic!("no words for {other:?}"),
    }
}

fn to_worker(message: &ToWorker) -> String {
    match message {
        ToWorker::Listen { request, result: Ok(grant) } => {
            let Grant { listener, address, sharing: _, data: known } = grant;
            format!("grant r{} l{} {address}{}", request.0, listener.0, data(known))
        }
        ToWorker::Listen { request, result: Err(error) } => format!("deny r{}: {error}", request.0),
        ToWorker::Connection { listener, handoff, peer: _ } => {
            format!("connection l{} h{}", listener.0, handoff.0)
        }
        ToWorker::Disconnect => "disconnect".to_owned(),
        ToWorker::LeaveNoted => "leave noted".to_owned(),
        other => panic!("no words for {other:?}"),
    }
}

fn riding(handle: Option<&HandleName>) -> String {
    handle.map_or_else(String::new, |name| format!(", with {}", named(*name)))
}

fn token(token: &HandleToken) -> String {
    named(token.name())
}

fn named(name: HandleName) -> String {
    let number = usize::try_from(name.0).expect("a number");
    listener_of(number).map_or_else(|| letter(number), |it| format!("the socket of l{}", it.0))
}
