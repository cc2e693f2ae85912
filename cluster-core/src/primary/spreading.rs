//! Listeners of which each worker has a socket of its own.

use super::{Action, Primary};
use crate::control::ToWorker;
use crate::deadlines::Reason;
use crate::id::{ListenerId, SlotId, WorkerId};
use crate::limits::STALLED_CHECK;
use crate::listen::{ListenError, OsError};
use crate::schedule::Sharing;
use crate::slots::Found;

impl Primary {
    /// A slot was opened, or could not be.
    pub(super) fn slot_opened(
        &mut self,
        id: ListenerId,
        slot: SlotId,
        result: Result<(), OsError>,
    ) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        match result {
            Ok(()) => {
                let waiter = listener.slots.opened(slot);
                self.spread(id);
                if let Some((worker, request)) = waiter {
                    self.grant(worker, request, id, slot);
                }
            }
            Err(error) => {
                if let Some((worker, request)) = listener.slots.failed(slot) {
                    let result = Err(ListenError::Os(error));
                    self.send(worker, ToWorker::Listen { request, result });
                    self.unshare_one(worker, id);
                }
            }
        }
    }

    /// Has the kernel spread connections over the slots whose workers accept, and accepts from
    /// the others. A slot that gets no more is out of the spread before the primary accepts the
    /// rest; one that gets some again is left to its worker first.
    pub(super) fn spread(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        if listener.sharing() != Some(Sharing::Sharded) {
            return;
        }
        let targets = listener.slots.targets();
        let checks = listener.has_connections() && listener.slots.has_target();
        if targets != listener.slots.spread {
            listener.slots.spread.clone_from(&targets);
            self.act(Action::Spread { listener: id, slots: targets });
        }
        self.accept(id);
        match (checks, self.now) {
            (true, Some(now)) if !self.deadlines.is_set(Reason::Check(id)) => {
                self.deadlines.set(Reason::Check(id), now + STALLED_CHECK);
            }
            (true, _) => {}
            (false, _) => self.deadlines.stop(Reason::Check(id)),
        }
    }

    /// It is time to look whether connections are queued.
    pub(super) fn check_slots(&mut self, id: ListenerId) {
        if self.listeners.at(id).is_some() {
            self.act(Action::Inspect { listener: id });
        }
    }

    /// Takes in how many connections are queued in each slot.
    pub(super) fn inspected(&mut self, id: ListenerId, queued: &[u32]) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let slots = &mut listener.slots;
        let found: Vec<_> =
            slots.ids().zip(queued).map(|(slot, queued)| slots.check(slot, *queued)).collect();
        for found in found {
            match found {
                Found::Nothing => {}
                // One that has stalled is asked once more: it answers when it is awake again.
                Found::Waiting(worker) | Found::Stalled(worker) => {
                    self.send(worker, ToWorker::Probe);
                }
            }
        }
        self.spread(id);
    }

    /// A worker has answered a probe.
    pub(super) fn is_awake(&mut self, worker: WorkerId) {
        let stalled = self.ledger.account_mut(worker).is_some_and(|it| it.is_awake());
        for id in self.listeners.of(worker) {
            if let Some(listener) = self.listeners.at_mut(id) {
                listener.slots.answers(worker);
                if stalled {
                    listener.rotation.excused(worker);
                }
                self.spread(id);
                self.dispatch(id);
            }
        }
    }

    /// A worker gets no more connections, or gets some again.
    pub(super) fn set_cordon(&mut self, worker: WorkerId, cordoned: bool) {
        let changed =
            if cordoned { self.cordoned.insert(worker) } else { self.cordoned.remove(&worker) };
        if !changed {
            return;
        }
        self.send(worker, if cordoned { ToWorker::Cordon } else { ToWorker::Uncordon });
        for id in self.listeners.of(worker) {
            if let Some(listener) = self.listeners.at_mut(id) {
                listener.slots.cordon(worker, cordoned);
                listener.rotation.excused(worker);
            }
            self.spread(id);
            self.dispatch(id);
        }
    }
}
