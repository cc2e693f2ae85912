//! The primary's listeners and the workers that share them.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::id::{ListenerId, RequestId, WorkerId};
use crate::rotation::Rotation;
use crate::schedule::{Schedule, Sharing};
use crate::slots::{Slot, Slots};

/// All listeners of a primary.
///
/// What makes two listens the same is their address; for port 0, the n-th that a worker holds
/// is the same as the n-th of another worker, so that each gets the same ports as its siblings
/// (Node pairs them by an index in the key). An explicit port is the same as a listener that
/// obtained this port through port 0.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    table: BTreeMap<ListenerId, Listener>,
    made: u32,
}

/// What a worker's wish to listen comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It shares this listener already.
    Held,
    /// Another worker has it.
    Found(ListenerId),
    /// Nobody has it; for port 0, it would be the n-th.
    New { ordinal: u32 },
}

impl Listeners {
    /// Looks for the listener that `worker` means by `address`.
    pub(crate) fn find(&self, worker: WorkerId, address: &Address) -> Match {
        if !address.asks_for_any_port() {
            let same = |listener: &&Listener| {
                listener.requested == *address || listener.address() == Some(address)
            };
            // UDP sockets with reused addresses may be several.
            let mut found = Match::New { ordinal: 0 };
            for listener in self.table.values().filter(same) {
                if !listener.concerns(worker) {
                    return Match::Found(listener.id);
                }
                found = Match::Held;
            }
            return found;
        }
        let paired = |listener: &&Listener| listener.requested == *address;
        let held = |ordinal: &u32| {
            self.table
                .values()
                .filter(paired)
                .any(|listener| listener.ordinal == *ordinal && listener.concerns(worker))
        };
        let ordinal = (0..).find(|ordinal| !held(ordinal)).unwrap_or(u32::MAX);
        self.table
            .values()
            .filter(paired)
            .find(|listener| listener.ordinal == ordinal)
            .map_or(Match::New { ordinal }, |listener| Match::Found(listener.id))
    }

    /// Makes a listener that is yet to be bound, and is shared as `schedule` has it.
    pub(crate) fn insert(
        &mut self,
        requested: Address,
        ordinal: u32,
        schedule: Schedule,
    ) -> &mut Listener {
        self.made += 1;
        let id = ListenerId(self.made);
        let listener = Listener {
            id,
            requested,
            ordinal,
            place: Place::Binding { schedule, waiters: Vec::new() },
            data: Vec::new(),
            rotation: Rotation::default(),
            listening: BTreeSet::new(),
            slots: Slots::new(),
            gate: Gate::Shut,
            complained: false,
        };
        self.table.entry(id).or_insert(listener)
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        self.table.remove(&id)
    }

    pub(crate) fn at(&self, id: ListenerId) -> Option<&Listener> {
        self.table.get(&id)
    }

    pub(crate) fn at_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.table.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.table.values()
    }

    /// The listeners that `worker` shares or waits for.
    pub(crate) fn of(&self, worker: WorkerId) -> Vec<ListenerId> {
        self.iter().filter(|listener| listener.concerns(worker)).map(|it| it.id).collect()
    }
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) requested: Address,
    ordinal: u32,
    pub(crate) place: Place,
    /// What the workers that share it are to know.
    pub(crate) data: Vec<u8>,
    /// The workers that share it.
    pub(crate) rotation: Rotation,
    /// Those of them that have said that they listen.
    pub(crate) listening: BTreeSet<WorkerId>,
    pub(crate) slots: Slots,
    pub(crate) gate: Gate,
    /// The application has heard that accepting fails, and not yet that it works again.
    pub(crate) complained: bool,
}

/// Whether the operating system has the socket yet.
#[derive(Debug)]
pub(crate) enum Place {
    /// Not yet; these requests wait for it. The schedule is that under which it was first asked
    /// for: another one that comes into force meanwhile does not change how it is shared.
    Binding { schedule: Schedule, waiters: Vec<(WorkerId, RequestId)> },
    /// Yes, here.
    Open { address: Address, sharing: Sharing },
}

/// Whether connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// As many wait as may, or the listener is not bound yet.
    Shut,
    /// The operating system refused; the deadline `AcceptRetry` ends it, or a hand-over.
    Resting,
}

impl Listener {
    /// Where it really listens, once it does.
    pub(crate) const fn address(&self) -> Option<&Address> {
        match &self.place {
            Place::Binding { .. } => None,
            Place::Open { address, .. } => Some(address),
        }
    }

    /// How it is shared, once it is bound.
    pub(crate) const fn sharing(&self) -> Option<Sharing> {
        match &self.place {
            Place::Binding { .. } => None,
            Place::Open { sharing, .. } => Some(*sharing),
        }
    }

    /// Connections come through it (and not datagrams), and the socket is there.
    pub(crate) const fn has_connections(&self) -> bool {
        matches!(self.address(), Some(Address::Tcp(_) | Address::Unix(_) | Address::Inherited(_)))
    }

    /// The primary is to accept from this slot, if the gate is open.
    pub(crate) fn accepts_from(&self, slot: &Slot) -> bool {
        match self.sharing() {
            Some(Sharing::HandedOver) => true,
            Some(Sharing::Sharded) => self.has_connections() && slot.is_open() && !slot.is_target(),
            Some(Sharing::Kernel) | None => false,
        }
    }

    /// It is bound, and nobody shares it. One that is not bound yet may still be wanted.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.address().is_some() && self.rotation.is_empty() && !self.slots.are_awaited()
    }

    /// Takes `worker` out, as sharer and as waiter.
    pub(crate) fn forget(&mut self, worker: WorkerId) {
        self.rotation.leave(worker);
        self.listening.remove(&worker);
        self.slots.release(worker);
        if let Place::Binding { waiters, .. } = &mut self.place {
            waiters.retain(|&(waiter, _)| waiter != worker);
        }
    }

    fn concerns(&self, worker: WorkerId) -> bool {
        self.rotation.contains(worker)
            || self.slots.awaited_by(worker)
            || match &self.place {
                Place::Binding { waiters, .. } => {
                    waiters.iter().any(|&(waiter, _)| waiter == worker)
                }
                Place::Open { .. } => false,
            }
    }
}
