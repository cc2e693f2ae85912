//! One place's turn: what was ready becomes facts for the core.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use cluster_core::primary::Input;
use cluster_core::{ExitStatus, ListenerId, SlotId, ToPrimary, WorkerId};

use super::actions::os_error;
use super::{Body, Notice, Place, PrimaryHost};
use crate::event::{ClusterError, Event};
use crate::handle_kind::{HandleKind, set_nonblocking};
use crate::limits::{ACCEPTS_PER_TURN, READS_PER_TURN};
use crate::link::{Incoming, Link, LinkError, Reading};
use crate::socket::{AcceptError, Accepted};
use crate::spawn::SpawnedParts;

impl PrimaryHost {
    pub(super) fn visit(&mut self, now: Instant, place: Place) {
        match place {
            Place::Waker => self.unflushed.note_all(self.workers.keys().copied()),
            Place::Passages(worker) => self.look(now, worker),
            Place::Listener(listener, slot) => self.accept_some(now, listener, slot),
            Place::Spawning(worker) => self.ask_birth(now, worker),
            Place::Channel(worker) => {
                let end = self.ready.has_ended(place);
                if self.is_born(now, worker) && self.read_some(now, worker, end) {
                    self.ready.push(place);
                }
            }
            Place::Process(worker) => {
                if self.is_born(now, worker) {
                    self.bury(now, worker);
                }
            }
        }
    }

    fn accept_some(&mut self, now: Instant, listener: ListenerId, slot: SlotId) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(it) = self.sockets.get(&listener) else { return };
            let Some(socket) = it.at(slot).filter(|_| it.is_accepting(slot)) else { return };
            // An attempt in vain costs ten times as much.
            if !socket.has_waiting() {
                return;
            }
            let mut accepted = socket.accept();
            if matches!(accepted, Err(AcceptError::Exhausted(_))) && self.has_unsent() {
                // Those that are handed over have their descriptors here until they are sent.
                self.flush(now);
                let socket = self.sockets.get(&listener).and_then(|it| it.at(slot));
                let Some(socket) = socket else { return };
                accepted = socket.accept();
            }
            let input = match accepted {
                Ok(Accepted { socket, peer }) => {
                    self.accepted += 1;
                    let connection = self.handles.insert(socket);
                    Input::Accepted { listener, connection, peer }
                }
                Err(AcceptError::WouldBlock) => return,
                Err(AcceptError::Gone) => continue,
                Err(AcceptError::Exhausted(error) | AcceptError::Broken(error)) => {
                    Input::AcceptFailed { listener, error: os_error(&error) }
                }
            };
            self.core.handle_input(now, input);
            self.carry_on(now);
        }
        self.ready.push(Place::Listener(listener, slot));
    }

    /// Whether the program is executed; what is known of the worker before that must wait.
    fn is_born(&mut self, now: Instant, worker: WorkerId) -> bool {
        if let Some(Body::Spawning(_)) = self.workers.get(&worker).map(|entry| &entry.body) {
            self.ask_birth(now, worker);
        }
        let body = self.workers.get(&worker).map(|entry| &entry.body);
        matches!(body, Some(Body::Running(_) | Body::Gone(None)))
    }

    fn ask_birth(&mut self, now: Instant, worker: WorkerId) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        let Body::Spawning(spawning) = &mut entry.body else { return };
        let Some(outcome) = spawning.outcome() else { return };
        let Body::Spawning(spawning) = std::mem::replace(&mut entry.body, Body::Gone(None)) else {
            return;
        };
        self.ready.ignore(Place::Spawning(worker), spawning.as_fd());
        let pid = spawning.process().pid();
        let SpawnedParts { process, stdin, stdout, stderr } = spawning.into_parts();
        match outcome {
            Ok(()) => {
                entry.pipes.set([stdin, stdout, stderr]);
                entry.body = Body::Running(process);
                self.core.handle_input(now, Input::Spawned { worker, pid });
                // What became ready before was put off.
                self.ready.push(Place::Channel(worker));
                self.ready.push(Place::Process(worker));
            }
            Err(error) => {
                self.ready.ignore(Place::Process(worker), process.as_fd());
                if let Some(link) = entry.link.take() {
                    self.ready.ignore(Place::Channel(worker), link.as_fd());
                }
                let os_error = os_error(&error.source);
                entry.body = Body::Gone(Some(Arc::new(error)));
                self.core.handle_input(now, Input::SpawnFailed { worker, error: os_error });
            }
        }
        // The fork is told before anything that the worker has said.
        self.carry_on(now);
    }

    /// Reads a channel a few times, and up to its end if it is known to have one; says whether
    /// there may be more.
    fn read_some(&mut self, now: Instant, worker: WorkerId, end: bool) -> bool {
        // The channel may be writable again.
        self.unflushed.note(worker);
        for _ in 0..READS_PER_TURN {
            let Some(link) = self.workers.get_mut(&worker).and_then(|it| it.link.as_mut()) else {
                return false;
            };
            let read = link.receive(end).map_err(LinkError::from);
            let read = read.and_then(|reading| {
                // What it took before it spoke comes before what it says.
                self.look(now, worker);
                self.hear(now, worker)?;
                Ok(reading)
            });
            match read {
                Ok(Reading::More) => {}
                Ok(Reading::Drained) => return false,
                Ok(Reading::End) => {
                    self.drop_link(worker);
                    self.close_passages(now, worker);
                    self.core.handle_input(now, Input::ChannelClosed { worker });
                    return false;
                }
                Err(error) => {
                    self.drop_link(worker);
                    let error = ClusterError::Channel(Arc::new(error));
                    self.publish(Event::Error { worker: Some(worker), error });
                    self.close_passages(now, worker);
                    self.core.handle_input(now, Input::ChannelClosed { worker });
                    return false;
                }
            }
        }
        true
    }

    /// Takes in what a worker has said.
    fn hear(&mut self, now: Instant, worker: WorkerId) -> Result<(), LinkError> {
        while let Some(link) = self.workers.get_mut(&worker).and_then(|it| it.link.as_mut()) {
            match link.pop()? {
                None => break,
                Some(Incoming::Control(message, handle)) => {
                    let closed = match message {
                        ToPrimary::Close { listener } => Some(listener),
                        _ => None,
                    };
                    let handle = handle.filter(|it| can_be_taken(&message, it));
                    let handle = handle.map(|it| self.handles.insert(it));
                    self.core.handle_input(now, Input::Received { worker, message, handle });
                    self.carry_on(now);
                    if let Some(listener) = closed {
                        self.take_back(now, worker, listener);
                    }
                }
                Some(Incoming::User(message, receipt)) => {
                    let event = Event::Message { worker, message };
                    self.notify(Notice::Event(event, Some(receipt)));
                }
            }
        }
        Ok(())
    }

    /// The process has ended: whatever it has said is read before that is told.
    fn bury(&mut self, now: Instant, worker: WorkerId) {
        let status = match self.workers.get(&worker).map(|entry| &entry.body) {
            Some(Body::Running(process)) => match process.reap() {
                Ok(Some(status)) => status,
                Ok(None) => return,
                Err(_) => ExitStatus::Lost,
            },
            Some(Body::Spawning(_) | Body::Gone(_)) | None => return,
        };
        self.read_the_rest(now, worker);
        self.carry_on(now);
        self.close_passages(now, worker);
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if let Body::Running(process) = std::mem::replace(&mut entry.body, Body::Gone(None)) {
            self.ready.ignore(Place::Process(worker), process.as_fd());
        }
        self.core.handle_input(now, Input::Exited { worker, status });
    }

    /// Reads what a worker that has ended may have said.
    fn read_the_rest(&mut self, now: Instant, worker: WorkerId) {
        let read = |host: &Self| host.workers.get(&worker)?.link.as_ref().map(Link::read);
        let Some(end) = read(self).map(|bytes| bytes + CHANNEL_BYTES) else { return };
        while self.read_some(now, worker, true) {
            if read(self).is_none_or(|bytes| bytes > end) {
                // Whoever still speaks is not the worker, but a child that has its channel.
                return self.ready.push(Place::Channel(worker));
            }
        }
    }

    fn drop_link(&mut self, worker: WorkerId) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if let Some(link) = entry.link.take() {
            self.ready.ignore(Place::Channel(worker), link.as_fd());
            drop(link);
            self.notify(Notice::Room(worker));
        }
    }
}

/// What a worker returns goes to another, which relies on what it is.
fn can_be_taken(message: &ToPrimary, handle: &OwnedFd) -> bool {
    let connections = [HandleKind::TcpStream, HandleKind::UnixStream];
    !matches!(message, ToPrimary::Returned { .. })
        || HandleKind::of(handle).is_ok_and(|kind| connections.contains(&kind))
            && set_nonblocking(handle).is_ok()
}

/// More than a channel holds (unix(7): what socket(7) calls `wmem_default`, usually 208 KiB).
const CHANNEL_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    #[test]
    fn only_connections_are_returned_and_none_of_them_blocks() {
        let returned = ToPrimary::Returned { listener: ListenerId(1), peer: None };
        let null: OwnedFd = File::open("/dev/null").unwrap().into();
        let stream = OwnedFd::from(UnixStream::pair().unwrap().0);
        assert!(!can_be_taken(&returned, &null));
        assert!(can_be_taken(&ToPrimary::Online, &null), "it is the core that has no use for it");
        assert!(can_be_taken(&returned, &stream));
        let flags = OFlag::from_bits_retain(fcntl(&stream, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_NONBLOCK));
    }
}
