//! Words for what machines say, one line each.

use cluster_core::agent;
use cluster_core::primary;
use cluster_core::{Grant, HandleName, HandleToken, SlotId, ToPrimary, ToWorker};

use super::kernel::{PASSAGES, Place, place_of};

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

/// A listener's first socket has the listener's name.
pub(crate) fn place((listener, slot): Place) -> String {
    match slot {
        SlotId(0) => format!("l{}", listener.0),
        SlotId(slot) => format!("l{}/{slot}", listener.0),
    }
}

pub(crate) fn primary_action(action: &primary::Action) -> String {
    use primary::Action;

    match action {
        Action::Spawn { worker } => format!("spawn {worker}"),
        Action::Signal { worker, signal } => format!("signal {worker} {signal}"),
        Action::Send { worker, message } => format!("say to {worker}: {}", to_worker(message)),
        Action::Hand { worker, listener, handoff, connection, peer: _ } => {
            format!("hand {} of l{} to {worker} as h{}", named(*connection), listener.0, handoff.0)
        }
        Action::TakeBack { worker, listener } => {
            format!("take back from {worker} what is left of l{}", listener.0)
        }
        Action::Lend { worker, message, listener, slot } => {
            let socket = place((*listener, *slot));
            format!("say to {worker}: {}, with a copy of {socket}", to_worker(message))
        }
        Action::EndChannel { worker } => format!("end the channel to {worker}"),
        Action::Listen { listener, spec, sharing: _ } => {
            format!("bind l{} to {}, backlog {}", listener.0, spec.address, spec.backlog)
        }
        Action::OpenSlot { listener, slot } => format!("open {}", place((*listener, *slot))),
        Action::Spread { listener, slots } => {
            let slots: Vec<_> = slots.iter().map(|slot| place((*listener, *slot))).collect();
            format!("spread over {}", slots.join(" "))
        }
        Action::Inspect { listener } => format!("inspect l{}", listener.0),
        Action::ResumeAccept { listener, slot } => {
            format!("accept from {}", place((*listener, *slot)))
        }
        Action::PauseAccept { listener, slot } => format!("pause {}", place((*listener, *slot))),
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
        Action::AdoptPassage { listener, passage: _ } => {
            format!("adopt the passage of l{}", listener.0)
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
        Event::Closed { listener } => format!("* closed l{}", listener.0),
        Event::Cordoned { cordoned: true } => "* cordoned".to_owned(),
        Event::Cordoned { cordoned: false } => "* uncordoned".to_owned(),
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
        ToPrimary::Returned { listener, peer: _ } => format!("returned l{}", listener.0),
        ToPrimary::Finished { count } => format!("finished {count}"),
        ToPrimary::Reported => "reported".to_owned(),
        ToPrimary::Awake => "awake".to_owned(),
        ToPrimary::Leaving => "leaving".to_owned(),
        other => panic!("no words for {other:?}"),
    }
}

fn to_worker(message: &ToWorker) -> String {
    match message {
        ToWorker::Listen { request, result: Ok(grant) } => {
            let Grant { listener, address, sharing: _, counted: _, data: known } = grant;
            format!("grant r{} l{} {address}{}", request.0, listener.0, data(known))
        }
        ToWorker::Listen { request, result: Err(error) } => format!("deny r{}: {error}", request.0),
        ToWorker::Cordon => "cordon".to_owned(),
        ToWorker::Uncordon => "uncordon".to_owned(),
        ToWorker::Probe => "probe".to_owned(),
        ToWorker::Report { ends: true } => "report ends".to_owned(),
        ToWorker::Report { ends: false } => "report no ends".to_owned(),
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
    if number >= PASSAGES {
        return "a passage".to_owned();
    }
    place_of(number).map_or_else(|| letter(number), |it| format!("the socket of {}", place(it)))
}
