//! Who owns which connection.
//!
//! ```text
//!   accepted ──▶ waiting ──hand──▶ in flight to W ──taken──▶ W's own, forgotten here
//!                   ▲                    │
//!                   └──── taken back ────┘
//! ```
//!
//! A connection has exactly one owner at every moment. One in flight lies in a queue from which
//! the worker takes it, or the primary takes it back: never both. Until it is taken no byte of it
//! has been read, and so it can go to another worker; Node loses such connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crate::account::Account;
use crate::id::{HandoffId, ListenerId, WorkerId};
use crate::token::HandleToken;

/// An accepted connection that no application has taken yet.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) token: HandleToken,
    pub(crate) peer: Option<SocketAddr>,
    /// Which one it is of all that were accepted; 0 for one that a worker has given back.
    number: u64,
}

impl Connection {
    pub(crate) const fn new(token: HandleToken, peer: Option<SocketAddr>) -> Self {
        Self { token, peer, number: 0 }
    }
}

/// The book of all connections that no application has taken yet, and of how many each worker
/// has.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    waiting: BTreeMap<ListenerId, VecDeque<Connection>>,
    in_flight: BTreeMap<HandoffId, InFlight>,
    accounts: BTreeMap<WorkerId, Account>,
    waiting_in_all: usize,
    accepted: u64,
    handed: u64,
}

impl Ledger {
    /// A new connection waits behind the others.
    pub(crate) fn wait(&mut self, listener: ListenerId, mut connection: Connection) {
        self.waiting_in_all += 1;
        self.accepted += 1;
        connection.number = self.accepted;
        self.waiting.entry(listener).or_default().push_back(connection);
    }

    /// A connection that comes back waits in front of those that are younger.
    pub(crate) fn wait_again(&mut self, listener: ListenerId, connection: Connection) {
        self.waiting_in_all += 1;
        let queue = self.waiting.entry(listener).or_default();
        let place = queue.partition_point(|other| other.number < connection.number);
        queue.insert(place, connection);
    }

    pub(crate) fn waiting(&self, listener: ListenerId) -> usize {
        self.waiting.get(&listener).map_or(0, VecDeque::len)
    }

    /// The listeners that connections wait for.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = ListenerId> {
        self.waiting.keys().copied()
    }

    /// The connection at a place in the queue, where 0 has waited longest.
    pub(crate) fn at(&self, listener: ListenerId, place: usize) -> Option<&Connection> {
        self.waiting.get(&listener)?.get(place)
    }

    /// Takes a connection out of the queue.
    pub(crate) fn remove(&mut self, listener: ListenerId, place: usize) -> Option<Connection> {
        let queue = self.waiting.get_mut(&listener)?;
        let connection = queue.remove(place)?;
        self.waiting_in_all -= 1;
        if queue.is_empty() {
            self.waiting.remove(&listener);
        }
        Some(connection)
    }

    /// The connection at a place in the queue goes to `worker`.
    pub(crate) fn hand(
        &mut self,
        listener: ListenerId,
        place: usize,
        worker: WorkerId,
        now: Option<Instant>,
    ) -> Option<(HandoffId, &Connection)> {
        let connection = self.remove(listener, place)?;
        self.handed += 1;
        let handoff = HandoffId(self.handed);
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.handed(listener);
        }
        let entry = InFlight { worker, listener, connection, since: now };
        Some((handoff, &self.in_flight.entry(handoff).or_insert(entry).connection))
    }

    /// `worker` has taken the connection, which is in flight no longer. `None` if this is no
    /// hand-off to that worker (a stray fact).
    pub(crate) fn take(
        &mut self,
        worker: WorkerId,
        handoff: HandoffId,
        now: Option<Instant>,
        window_max: usize,
    ) -> Option<(ListenerId, Connection)> {
        let entry = self.settle(worker, handoff)?;
        if let Some(account) = self.accounts.get_mut(&worker) {
            let waited = now.zip(entry.since).map(|(now, it)| now.saturating_duration_since(it));
            account.taken(entry.listener, waited.unwrap_or_default(), window_max);
        }
        Some((entry.listener, entry.connection))
    }

    /// `worker` will not take the connection, which is in flight no longer. `None` if this is
    /// no hand-off to that worker.
    pub(crate) fn take_back(
        &mut self,
        worker: WorkerId,
        handoff: HandoffId,
    ) -> Option<(ListenerId, Connection)> {
        let entry = self.settle(worker, handoff)?;
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.settled(entry.listener);
        }
        Some((entry.listener, entry.connection))
    }

    /// Takes back all that is in flight to a worker that is gone. It has no account any more.
    pub(crate) fn recover(&mut self, worker: WorkerId) -> Vec<(ListenerId, Connection)> {
        self.accounts.remove(&worker);
        let entries = self.in_flight.iter();
        let lost = entries.filter(|(_, entry)| entry.worker == worker).map(|(id, _)| *id);
        let lost: Vec<_> = lost.collect();
        lost.into_iter()
            .filter_map(|handoff| self.in_flight.remove(&handoff))
            .map(|entry| (entry.listener, entry.connection))
            .collect()
    }

    /// Takes out all that waits for a listener that is gone.
    pub(crate) fn abandon(&mut self, listener: ListenerId) -> VecDeque<Connection> {
        let abandoned = self.waiting.remove(&listener).unwrap_or_default();
        self.waiting_in_all -= abandoned.len();
        abandoned
    }

    /// Keeps an account of a worker's connections from now on.
    pub(crate) fn open_account(&mut self, worker: WorkerId, window_max: usize) {
        self.accounts.entry(worker).or_insert_with(|| Account::new(window_max));
    }

    /// The workers that may have connections.
    pub(crate) fn holders(&self) -> impl Iterator<Item = WorkerId> {
        self.accounts.keys().copied()
    }

    pub(crate) fn account(&self, worker: WorkerId) -> Option<&Account> {
        self.accounts.get(&worker)
    }

    pub(crate) fn account_mut(&mut self, worker: WorkerId) -> Option<&mut Account> {
        self.accounts.get_mut(&worker)
    }

    /// How many connections the ledger holds.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len() + self.waiting_in_all
    }

    /// What is in flight to `worker`, that was handed first coming first.
    pub(crate) fn in_flight_to(&self, worker: WorkerId) -> impl Iterator<Item = &InFlight> {
        self.in_flight.values().filter(move |entry| entry.worker == worker)
    }

    /// Whether connections wait.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting_in_all > 0
    }

    /// How many connections are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn settle(&mut self, worker: WorkerId, handoff: HandoffId) -> Option<InFlight> {
        if self.in_flight.get(&handoff)?.worker != worker {
            return None;
        }
        self.in_flight.remove(&handoff)
    }

    /// The workers that something is in flight to, as the entries say.
    #[cfg(debug_assertions)]
    pub(crate) fn workers_in_flight(&self) -> impl Iterator<Item = WorkerId> {
        self.in_flight.values().map(|entry| entry.worker)
    }
}

/// A connection that its worker has not taken.
#[derive(Debug)]
pub(crate) struct InFlight {
    worker: WorkerId,
    pub(crate) listener: ListenerId,
    connection: Connection,
    pub(crate) since: Option<Instant>,
}
