//! Connections that lie in a worker's passage, though others could have them.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Action, Primary};
use crate::account::Late;
use crate::control::ToWorker;
use crate::deadlines::Reason;
use crate::id::{ListenerId, WorkerId};
use crate::limits::{STALLED_CHECK, STALLED_CHECKS_MAX};

impl Primary {
    /// From now on it is minded whether a worker takes what it was handed.
    pub(super) fn mind(&mut self, worker: WorkerId) {
        if let Some(now) = self.now
            && !self.deadlines.is_set(Reason::Untaken(worker))
        {
            self.deadlines.set(Reason::Untaken(worker), now + STALLED_CHECK);
        }
    }

    /// The same for all that share a listener: there is somebody new who could have it.
    pub(super) fn mind_all(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.at(id) else { return };
        let has_untaken = |it: &WorkerId| self.ledger.account(*it).is_some_and(|it| it.untaken > 0);
        let holders: Vec<_> = listener.rotation.iter().filter(has_untaken).collect();
        holders.into_iter().for_each(|it| self.mind(it));
    }

    /// It is time to see whether a worker has taken what it was handed. If it is silent for long
    /// and others have room, what it has not taken is taken back; and so is what has lain there for
    /// so long that whatever else it takes is no excuse.
    pub(super) fn check_untaken(&mut self, now: Instant, worker: WorkerId) {
        // Since when something of each listener lies there.
        let mut oldest = BTreeMap::new();
        for it in self.ledger.in_flight_to(worker) {
            oldest.entry(it.listener).or_insert(it.since.unwrap_or(now));
        }
        let Some(first) = oldest.values().min() else { return };
        if now < *first + STALLED_CHECK {
            return self.deadlines.set(Reason::Untaken(worker), *first + STALLED_CHECK);
        }
        self.deadlines.set(Reason::Untaken(worker), now + STALLED_CHECK);
        oldest.retain(|id, _| self.others_have_room(*id, worker));
        if oldest.is_empty() {
            return;
        }
        let late = self.ledger.account_mut(worker).map(|it| it.is_late());
        if late == Some(Late::Ask) {
            self.send(worker, ToWorker::Probe);
        }
        for (listener, since) in oldest {
            if late == Some(Late::Stalled) || now >= since + STALLED_CHECK * STALLED_CHECKS_MAX {
                self.act(Action::TakeBack { worker, listener });
            }
        }
    }

    /// A worker has not taken what it was handed, though it still shares the listener: it gets no
    /// more until it says that it is awake.
    pub(super) fn stalls(&mut self, worker: WorkerId) {
        if let Some(account) = self.ledger.account_mut(worker)
            && account.stalls()
        {
            self.send(worker, ToWorker::Probe);
        }
    }

    fn others_have_room(&self, id: ListenerId, worker: WorkerId) -> bool {
        let Some(listener) = self.listeners.at(id) else { return false };
        listener.rotation.iter().filter(|it| *it != worker).any(|other| {
            let account = self.ledger.account(other);
            !self.cordoned.contains(&other)
                && !listener.slots.has_stalled(other)
                && account.is_some_and(|it| !it.has_stalled() && it.has_room(id))
        })
    }
}
