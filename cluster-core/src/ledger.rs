//! Who owns which connection.
//!
//! ```text
//!   accepted ──▶ waiting ──hand──▶ in flight to W ──taken──▶ W's own, forgotten here
//!                   ▲                    │
//!                   └─ refused, W gone ──┘
//! ```
//!
//! A connection has exactly one owner at every moment. The primary keeps its copy of the
//! descriptor until the worker says *taken*. Until then no byte of it has been read, and so it
//! can go to another worker; Node loses such connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::id::{HandoffId, ListenerId, WorkerId};
use crate::token::HandleToken;

/// An accepted connection that no application has taken yet.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) token: HandleToken,
    pub(crate) peer: Option<SocketAddr>,
    /// Workers that would not have it; they are not asked again.
    pub(crate) refused_by: Vec<WorkerId>,
}

impl Connection {
    pub(crate) const fn new(token: HandleToken, peer: Option<SocketAddr>) -> Self {
        Self { token, peer, refused_by: Vec::new() }
    }
}

/// The book of all connections that no application has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    waiting: BTreeMap<ListenerId, VecDeque<Connection>>,
    in_flight: BTreeMap<HandoffId, InFlight>,
    untaken: BTreeMap<WorkerId, usize>,
    handed: u64,
}

impl Ledger {
    /// A new connection waits behind the others.
    pub(crate) fn wait(&mut self, listener: ListenerId, connection: Connection) {
        self.waiting.entry(listener).or_default().push_back(connection);
    }

    /// A connection that comes back waits in front of the others: it is the oldest.
    pub(crate) fn wait_again(&mut self, listener: ListenerId, connection: Connection) {
        self.waiting.entry(listener).or_default().push_front(connection);
    }

    pub(crate) fn waiting(&self, listener: ListenerId) -> usize {
        self.waiting.get(&listener).map_or(0, VecDeque::len)
    }

    /// The connection at a place in the queue, where 0 has waited longest.
    pub(crate) fn at(&self, listener: ListenerId, place: usize) -> Option<&Connection> {
        self.waiting.get(&listener)?.get(place)
    }

    /// Takes a connection out of the queue.
    pub(crate) fn remove(&mut self, listener: ListenerId, place: usize) -> Option<Connection> {
        self.waiting.get_mut(&listener)?.remove(place)
    }

    /// The connection at a place in the queue goes to `worker`.
    pub(crate) fn hand(
        &mut self,
        listener: ListenerId,
        place: usize,
        worker: WorkerId,
    ) -> Option<(HandoffId, &Connection)> {
        let connection = self.remove(listener, place)?;
        self.handed += 1;
        let handoff = HandoffId(self.handed);
        *self.untaken.entry(worker).or_default() += 1;
        let entry = InFlight { worker, listener, connection };
        Some((handoff, &self.in_flight.entry(handoff).or_insert(entry).connection))
    }

    /// `worker` has answered: the connection is in flight no longer. `None` if this is no
    /// hand-off to that worker (a stray answer).
    pub(crate) fn settle(
        &mut self,
        worker: WorkerId,
        handoff: HandoffId,
    ) -> Option<(ListenerId, Connection)> {
        if self.in_flight.get(&handoff)?.worker != worker {
            return None;
        }
        let entry = self.in_flight.remove(&handoff)?;
        if let Some(untaken) = self.untaken.get_mut(&worker) {
            *untaken -= 1;
        }
        Some((entry.listener, entry.connection))
    }

    /// Takes back all that is in flight to a worker that is gone, oldest last.
    pub(crate) fn recover(&mut self, worker: WorkerId) -> Vec<(ListenerId, Connection)> {
        self.untaken.remove(&worker);
        let entries = self.in_flight.iter();
        let lost = entries.filter(|(_, entry)| entry.worker == worker).map(|(id, _)| *id);
        let lost: Vec<_> = lost.collect();
        let newest_first = lost.into_iter().rev();
        newest_first
            .filter_map(|handoff| self.in_flight.remove(&handoff))
            .map(|entry| (entry.listener, entry.connection))
            .collect()
    }

    /// Takes out all that waits for a listener that is gone.
    pub(crate) fn abandon(&mut self, listener: ListenerId) -> VecDeque<Connection> {
        self.waiting.remove(&listener).unwrap_or_default()
    }

    /// How many connections `worker` was handed and has not taken.
    pub(crate) fn untaken(&self, worker: WorkerId) -> usize {
        self.untaken.get(&worker).copied().unwrap_or(0)
    }

    /// How many connections the ledger holds.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len() + self.waiting.values().map(VecDeque::len).sum::<usize>()
    }

    /// The workers that something is in flight to, as the entries say.
    #[cfg(debug_assertions)]
    pub(crate) fn workers_in_flight(&self) -> impl Iterator<Item = WorkerId> {
        self.in_flight.values().map(|entry| entry.worker)
    }
}

#[derive(Debug)]
struct InFlight {
    worker: WorkerId,
    listener: ListenerId,
    connection: Connection,
}
