//! What comes of a line, in words.

use std::fmt::Display;
use std::time::Duration;

use cluster_core::primary::{Action, Event};
use cluster_core::{HandleName, ListenerId, Reason, SlotId, ToWorker};

pub(super) fn in_words(action: &Action) -> String {
    match action {
        Action::Spawn { worker } => format!("spawn {worker}"),
        Action::Signal { worker, signal } => format!("signal {worker} {signal}"),
        Action::Send { worker, message } => format!("say to {worker}: {}", told(message)),
        Action::Hand { worker, listener, handoff, connection, peer: _ } => {
            let connection = letter(*connection);
            format!("hand {connection} of L{} to {worker} as h{}", listener.0, handoff.0)
        }
        Action::TakeBack { worker, listener } => {
            format!("take back from {worker} what it has not taken of L{}", listener.0)
        }
        Action::Lend { worker, message, listener, slot } => {
            let socket = socket(*listener, *slot);
            format!("say to {worker}: {}, with a copy of {socket}", told(message))
        }
        Action::EndChannel { worker } => format!("end the channel to {worker}"),
        Action::Listen { listener, spec, sharing: _ } => {
            format!("bind L{} to {}, backlog {}", listener.0, spec.address, spec.backlog)
        }
        Action::OpenSlot { listener, slot } => format!("open {}", socket(*listener, *slot)),
        Action::Spread { listener, slots } => {
            let slots: Vec<_> = slots.iter().map(|slot| socket(*listener, *slot)).collect();
            format!("spread over {}", slots.join(" "))
        }
        Action::Inspect { listener } => format!("inspect L{}", listener.0),
        Action::ResumeAccept { listener, slot } => {
            format!("accept from {}", socket(*listener, *slot))
        }
        Action::PauseAccept { listener, slot } => format!("pause {}", socket(*listener, *slot)),
        Action::CloseListener { listener } => format!("close L{}", listener.0),
        Action::Close { connection, why } => {
            format!("close {}: {}", letter(connection.name()), format!("{why:?}").to_lowercase())
        }
    }
}

fn told(message: &ToWorker) -> String {
    match message {
        ToWorker::Listen { request, result: Ok(grant) } => {
            let data = String::from_utf8_lossy(&grant.data);
            let data = if data.is_empty() { String::new() } else { format!(", data {data}") };
            format!("r{} is granted L{} at {}{data}", request.0, grant.listener.0, grant.address)
        }
        ToWorker::Listen { request, result: Err(error) } => {
            format!("r{} is denied: {error}", request.0)
        }
        ToWorker::Cordon => "cordon".to_owned(),
        ToWorker::Uncordon => "uncordon".to_owned(),
        ToWorker::Probe => "are you awake?".to_owned(),
        ToWorker::Report { ends: true } => "report what has ended".to_owned(),
        ToWorker::Report { ends: false } => "report no more what has ended".to_owned(),
        ToWorker::Disconnect => "disconnect".to_owned(),
        ToWorker::LeaveNoted => "leave noted".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(super) fn news(event: &Event) -> String {
    match event {
        Event::Fork { worker, pid } => format!("* fork {worker} pid {pid}"),
        Event::SpawnFailed { worker, error } => format!("* spawn failed {worker} {error}"),
        Event::Online { worker } => format!("* online {worker}"),
        Event::Listening { worker, address } => format!("* listening {worker} {address}"),
        Event::Draining { worker } => format!("* draining {worker}"),
        Event::Disconnect { worker, exited_after_disconnect } => {
            format!("* disconnect {worker}{}", flag(exited_after_disconnect))
        }
        Event::Exit { worker, pid, status, exited_after_disconnect } => {
            format!("* exit {worker} pid {pid} {status}{}", flag(exited_after_disconnect))
        }
        Event::AcceptFailed { address, error } => format!("* accept failed {address} {error}"),
        Event::Farewell { id } => format!("* farewell {}", id.0),
    }
}

fn flag(value: impl Display) -> String {
    format!(" exited_after_disconnect={value}")
}

pub(super) fn deadline(next: Option<(Duration, Reason)>) -> String {
    match next {
        None => "(no deadline)".to_owned(),
        Some((at, Reason::KillAfter(worker))) => format!("(deadline {at:?}: kill {worker})"),
        Some((at, Reason::AcceptRetry(listener))) => {
            format!("(deadline {at:?}: accept from L{} again)", listener.0)
        }
        Some((at, Reason::Untaken(worker))) => {
            format!("(deadline {at:?}: see what {worker} has taken)")
        }
        Some((at, Reason::Check(listener))) => {
            format!("(deadline {at:?}: look into L{})", listener.0)
        }
    }
}

/// A listener's first socket has the listener's name, the next ones are `L1/1`, `L1/2`.
fn socket(listener: ListenerId, SlotId(slot): SlotId) -> String {
    if slot == 0 { format!("L{}", listener.0) } else { format!("L{}/{slot}", listener.0) }
}

/// Connections are `a` to `z`, then `c26` and on.
fn letter(HandleName(number): HandleName) -> String {
    match u8::try_from(number) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        Ok(_) | Err(_) => format!("c{number}"),
    }
}
