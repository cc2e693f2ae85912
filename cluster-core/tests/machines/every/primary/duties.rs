//! What the primary may want of its host, and when.

use cluster_core::primary::{Action, Input};
use cluster_core::{HandoffId, ListenerId, OsError, Schedule, Sharing, ToWorker, WorkerId};

use super::{Life, Promises};

impl Life {
    pub(super) fn check_action(&mut self, action: Action) {
        let kept = self.promises == Promises::Kept;
        match action {
            Action::Spawn { worker } => {
                assert!(worker != self.worker || !self.facts.spawned, "spawned once");
            }
            Action::Signal { worker, .. } => {
                assert_eq!(worker, self.worker);
                assert!(self.told.forked && !self.told.exited, "there is a process");
            }
            Action::Send { worker, message } => {
                assert_eq!(message.handles(), 0, "without a descriptor");
                if worker == self.worker {
                    assert!(!self.told.ended && !self.is_over(), "said to one that hears");
                    assert!(!self.told.disconnected && !self.told.exited, "not to the dead");
                    self.note_grant(&message);
                }
            }
            Action::Hand { worker, listener, handoff, connection, peer: _ } => {
                assert!(self.held.contains(&connection), "still open");
                self.check_hand(worker, listener, handoff);
            }
            Action::TakeBack { worker, listener } => {
                if worker == self.worker {
                    assert!(self.in_flight.iter().any(|(_, of)| *of == listener), "there is some");
                    self.wanted_back.push(listener);
                }
            }
            Action::Lend { worker, message, listener, slot } => {
                assert_ne!(self.shared[&listener], Sharing::HandedOver, "not in turns");
                assert_eq!(message.handles(), 1);
                assert!(self.has_slot(listener, slot) || !kept, "there is a descriptor");
                if worker == self.worker {
                    assert!(!self.told.ended && !self.told.draining, "lent to one that stays");
                    assert!(!self.told.disconnected && !self.told.exited, "not to the dead");
                    self.note_grant(&message);
                }
            }
            Action::EndChannel { .. } => {
                assert!(!std::mem::replace(&mut self.told.ended, true), "ended once");
            }
            Action::Close { connection, .. } => {
                assert!(self.held.remove(&connection.name()), "held until now");
            }
            about_sockets => self.check_sockets(about_sockets),
        }
    }

    fn check_sockets(&mut self, action: Action) {
        let kept = self.promises == Promises::Kept;
        match action {
            Action::Listen { listener, sharing, .. } => self.check_listen(listener, sharing),
            Action::OpenSlot { listener, slot } => {
                assert_eq!(self.shared[&listener], Sharing::Sharded, "where each has its own");
                assert!(!self.has_slot(listener, slot) || !kept, "opened once");
                assert!(self.opening.insert((listener, slot)), "asked for once");
            }
            Action::Spread { listener, slots } => {
                assert_eq!(self.shared[&listener], Sharing::Sharded, "where each has its own");
                let open = slots.iter().all(|slot| self.has_slot(listener, *slot));
                assert!(!slots.is_empty() && open || !kept, "over open sockets");
            }
            Action::Inspect { listener } => drop(self.inspected.insert(listener)),
            Action::ResumeAccept { listener, slot } => {
                assert_ne!(self.shared[&listener], Sharing::Kernel, "the worker accepts");
                let before = self.bound.entry(listener).or_default().insert(slot, true);
                assert!(before == Some(false) || !kept, "bound, and not accepting");
            }
            Action::PauseAccept { listener, slot } => {
                let before = self.bound.entry(listener).or_default().insert(slot, false);
                assert!(before == Some(true) || !kept, "accepting");
            }
            Action::CloseListener { listener } => {
                assert!(self.bound.remove(&listener).is_some() || !kept, "bound");
                self.inspected.remove(&listener);
            }
            other => panic!("not about sockets: {other:?}"),
        }
    }

    fn check_listen(&mut self, listener: ListenerId, sharing: Sharing) {
        let expected = match self.schedule {
            Schedule::Sharded => Sharing::Sharded,
            Schedule::None => Sharing::Kernel,
            _ => Sharing::HandedOver,
        };
        assert_eq!(sharing, expected, "as is in force when it is first asked for");
        self.shared.insert(listener, sharing);
        assert!(self.binding.insert(listener), "once");
    }

    fn check_hand(&mut self, worker: WorkerId, listener: ListenerId, handoff: HandoffId) {
        if worker != self.worker {
            return;
        }
        assert!(!self.told.ended && !self.told.draining, "not to one that leaves");
        assert!(!self.told.disconnected && !self.told.exited, "not to the dead");
        let kept = self.promises == Promises::Kept;
        assert!(self.passages.contains(&listener) || !kept, "there is a passage");
        self.in_flight.push((handoff, listener));
    }

    /// A grant comes with a passage, if there are descriptors for it; if not, that is told at
    /// once.
    fn note_grant(&mut self, message: &ToWorker) {
        let ToWorker::Listen { request, result: Ok(grant) } = message else { return };
        let (worker, listener) = (self.worker, grant.listener);
        if std::mem::take(&mut self.exhausted) {
            let (request, error) = (*request, OsError(1));
            let input = Input::LendFailed { worker, request, listener, error };
            return self.primary.handle_input(self.now, input);
        }
        let fresh = self.passages.insert(listener);
        assert!(fresh || self.promises == Promises::Broken, "the one before is closed");
    }
}
