//! Connections on their way to workers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Action, Close, Event, Primary};
use crate::control::ToWorker;
use crate::deadlines::Reason;
use crate::id::{HandoffId, ListenerId, WorkerId};
use crate::ledger::Connection;
use crate::limits::ACCEPT_RETRY;
use crate::listen::OsError;
use crate::listeners::{Gate, Listener};
use crate::token::HandleToken;

impl Primary {
    pub(super) fn accepted(
        &mut self,
        id: ListenerId,
        token: HandleToken,
        peer: Option<SocketAddr>,
    ) {
        match self.listeners.at_mut(id) {
            Some(listener) if listener.is_handed_over() => {
                listener.complained = false;
                self.ledger.wait(id, Connection::new(token, peer));
                self.dispatch(id);
            }
            Some(_) | None => self.close(token, Close::NoWorker),
        }
    }

    /// A worker's application never saw a connection that was said to be taken.
    pub(super) fn returned(
        &mut self,
        id: ListenerId,
        token: HandleToken,
        peer: Option<SocketAddr>,
    ) {
        self.put_back(id, Connection::new(token, peer));
        self.dispatch(id);
    }

    pub(super) fn taken(&mut self, worker: WorkerId, handoff: HandoffId) {
        let Some((listener, connection)) = self.ledger.settle(worker, handoff) else { return };
        self.close(connection.token, Close::Taken);
        self.rested(listener);
        self.has_room(worker, listener);
    }

    pub(super) fn refused(&mut self, worker: WorkerId, handoff: HandoffId) {
        let Some((listener, mut connection)) = self.ledger.settle(worker, handoff) else { return };
        connection.refused_by.push(worker);
        self.put_back(listener, connection);
        self.dispatch(listener);
        self.has_room(worker, listener);
    }

    /// What was in flight to a worker that is gone goes to others.
    pub(super) fn hand_on(&mut self, worker: WorkerId) {
        let mut listeners = BTreeSet::new();
        for (listener, connection) in self.ledger.recover(worker) {
            self.put_back(listener, connection);
            listeners.insert(listener);
        }
        listeners.into_iter().for_each(|listener| self.dispatch(listener));
    }

    /// Hands out what waits, as far as workers have room.
    pub(super) fn dispatch(&mut self, id: ListenerId) {
        let window = self.config.window();
        let mut place = 0;
        while let (Some(listener), Some(connection)) =
            (self.listeners.at_mut(id), self.ledger.at(id, place))
        {
            let refused = |worker| connection.refused_by.contains(&worker);
            let untaken = |worker| {
                let untaken = self.ledger.untaken(worker);
                (untaken < window && !refused(worker)).then_some(untaken)
            };
            if let Some(worker) = listener.rotation.choose(self.config.schedule(), untaken) {
                self.hand(id, place, worker);
            } else if connection.refused_by.is_empty() {
                break; // No worker has room.
            } else if listener.rotation.iter().all(refused) {
                let unservable = self.ledger.remove(id, place);
                unservable.into_iter().for_each(|it| self.close(it.token, Close::NoWorker));
            } else {
                place += 1; // It waits for the workers left to it, and keeps nobody waiting.
            }
        }
        self.gate(id);
    }

    /// The operating system refuses: rest, and complain once.
    pub(super) fn accept_failed(&mut self, now: Instant, id: ListenerId, error: OsError) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let Some(address) = listener.address().cloned() else { return };
        let complains = !std::mem::replace(&mut listener.complained, true);
        if std::mem::replace(&mut listener.gate, Gate::Resting) == Gate::Open {
            self.act(Action::PauseAccept { listener: id });
        }
        self.deadlines.set(Reason::AcceptRetry(id), now + ACCEPT_RETRY);
        if complains {
            self.tell(Event::AcceptFailed { address, error });
        }
    }

    pub(super) fn accept_again(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.at_mut(id)
            && listener.gate == Gate::Resting
        {
            listener.gate = Gate::Shut;
            self.deadlines.stop(Reason::AcceptRetry(id));
            self.gate(id);
        }
    }

    pub(super) fn close(&mut self, connection: HandleToken, why: Close) {
        self.tokens_out += 1;
        self.act(Action::Close { connection, why });
    }

    fn hand(&mut self, id: ListenerId, place: usize, worker: WorkerId) {
        if let Some((handoff, connection)) = self.ledger.hand(id, place, worker) {
            let action = Action::Send {
                worker,
                message: ToWorker::Connection { listener: id, handoff, peer: connection.peer },
                handle: Some(connection.token.name()),
            };
            self.act(action);
        }
    }

    /// A connection that nobody has taken goes back to the front of its queue, or is closed if
    /// its listener is gone (or never handed anything over: a worker may name any).
    fn put_back(&mut self, id: ListenerId, connection: Connection) {
        if self.listeners.at(id).is_some_and(Listener::is_handed_over) {
            self.ledger.wait_again(id, connection);
        } else {
            self.close(connection.token, Close::NoWorker);
        }
    }

    /// A descriptor was freed: no need to rest any longer.
    fn rested(&mut self, id: ListenerId) {
        self.accept_again(id);
    }

    /// `worker` has room again. The listeners after the one that had the room before come
    /// first, so that none keeps the others waiting.
    fn has_room(&mut self, worker: WorkerId, before: ListenerId) {
        let waits = |id: &ListenerId| self.ledger.waiting(*id) > 0;
        let mut listeners: Vec<_> = self.listeners.iter().map(|it| it.id).filter(waits).collect();
        let next = listeners.partition_point(|id| *id <= before);
        listeners.rotate_left(next);
        for id in listeners {
            if self.listeners.at(id).is_some_and(|it| it.rotation.contains(worker)) {
                self.dispatch(id);
            }
        }
    }
}
