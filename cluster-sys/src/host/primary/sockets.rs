//! The sockets of one listener, and from which of them connections are wanted now.

use std::collections::BTreeSet;
use std::io;

use cluster_core::{Address, ListenSpec, Sharing, SlotId};
use nix::errno::Errno;

use crate::socket::{ListenGroup, ListenSocket};

/// One socket, or one for each slot.
#[derive(Debug)]
pub(super) struct Sockets {
    kind: Kind,
    accepting: BTreeSet<SlotId>,
}

#[derive(Debug)]
enum Kind {
    One(ListenSocket),
    /// The slots are in the order in which their sockets were opened: one that could not be
    /// opened may come later than the next.
    Group(ListenGroup, Vec<SlotId>),
}

impl Sockets {
    /// Opens the first socket.
    pub(super) fn listen(spec: &ListenSpec, sharing: Sharing) -> io::Result<Self> {
        let kind = match sharing {
            Sharing::HandedOver | Sharing::Kernel => Kind::One(ListenSocket::bind(spec)?),
            Sharing::Sharded => Kind::Group(ListenGroup::bind(spec)?, vec![SlotId(0)]),
        };
        Ok(Self { kind, accepting: BTreeSet::new() })
    }

    /// Opens one more socket.
    pub(super) fn open(&mut self, slot: SlotId) -> io::Result<()> {
        match &mut self.kind {
            Kind::One(_) => Err(Errno::EOPNOTSUPP.into()),
            Kind::Group(group, slots) => {
                group.open()?;
                slots.push(slot);
                Ok(())
            }
        }
    }

    /// Has the kernel spread over these slots only.
    pub(super) fn spread(&self, targets: &[SlotId]) -> io::Result<()> {
        match &self.kind {
            Kind::One(_) => Ok(()),
            Kind::Group(group, slots) => {
                let places = (0..).zip(slots).filter(|(_, slot)| targets.contains(slot));
                group.spread(&places.map(|(place, _)| place).collect::<Vec<_>>())
            }
        }
    }

    /// How many connections wait to be accepted, for each slot in their order.
    pub(super) fn queued(&self) -> io::Result<Vec<u32>> {
        let Kind::Group(group, slots) = &self.kind else { return Ok(Vec::new()) };
        let mut queued =
            vec![0; slots.iter().map(|slot| usize::from(slot.0) + 1).max().unwrap_or(0)];
        for (waiting, slot) in group.queued()?.into_iter().zip(slots) {
            queued[usize::from(slot.0)] = waiting;
        }
        Ok(queued)
    }

    pub(super) fn at(&self, slot: SlotId) -> Option<&ListenSocket> {
        match &self.kind {
            Kind::One(socket) => (slot == SlotId(0)).then_some(socket),
            Kind::Group(group, slots) => group.at(slots.iter().position(|it| *it == slot)?),
        }
    }

    pub(super) fn address(&self) -> &Address {
        match &self.kind {
            Kind::One(socket) => socket.local_address(),
            Kind::Group(group, _) => group.local_address(),
        }
    }

    pub(super) fn is_accepting(&self, slot: SlotId) -> bool {
        self.accepting.contains(&slot)
    }

    /// Notes whether connections are wanted from a slot; says whether that is new.
    pub(super) fn set_accepting(&mut self, slot: SlotId, accepting: bool) -> bool {
        if accepting { self.accepting.insert(slot) } else { self.accepting.remove(&slot) }
    }

    /// The slots from which connections are wanted.
    pub(super) fn accepting(&self) -> Vec<SlotId> {
        self.accepting.iter().copied().collect()
    }
}
