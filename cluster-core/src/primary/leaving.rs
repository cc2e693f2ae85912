//! How workers end, and what becomes of what they had.

use std::time::{Duration, Instant};

use super::{Action, Event, Primary};
use crate::control::ToWorker;
use crate::deadlines::Reason;
use crate::id::{FarewellId, WorkerId};
use crate::life::Fact;
use crate::listen::OsError;
use crate::status::{ExitStatus, Signal};

impl Primary {
    /// A worker that never was: no event but this one, and it is in no table.
    pub(super) fn spawn_failed(&mut self, worker: WorkerId, error: OsError) {
        if self.workers.get(&worker).is_none_or(|life| life.pid().is_some()) {
            return;
        }
        self.workers.remove(&worker);
        self.cordoned.remove(&worker);
        self.deadlines.stop(Reason::KillAfter(worker));
        self.tell(Event::SpawnFailed { worker, error });
        self.tell_farewells();
    }

    pub(super) fn ask_to_leave(
        &mut self,
        now: Instant,
        worker: WorkerId,
        kill_after: Option<Duration>,
    ) {
        let Some(life) = self.workers.get(&worker) else { return };
        if let (Some(patience), false) = (kill_after, life.is_dead()) {
            self.deadlines.tighten(Reason::KillAfter(worker), now + patience);
        }
        if life.hears() && !life.is_leaving() {
            self.learn(worker, Fact::Left);
            self.send(worker, ToWorker::Disconnect);
            self.unshare(worker);
        }
    }

    pub(super) fn says_it_leaves(&mut self, worker: WorkerId) {
        self.learn(worker, Fact::Left);
        self.send(worker, ToWorker::LeaveNoted);
        self.unshare(worker);
    }

    pub(super) fn channel_closed(&mut self, worker: WorkerId) {
        self.unshare(worker);
        self.hand_on(worker);
        self.learn(worker, Fact::ChannelClosed);
    }

    /// A dead worker serves nothing, even if somebody else still holds its channel open.
    pub(super) fn exited(&mut self, worker: WorkerId, status: ExitStatus) {
        self.deadlines.stop(Reason::KillAfter(worker));
        self.unshare(worker);
        self.hand_on(worker);
        self.learn(worker, Fact::Exited(status));
    }

    pub(super) fn signal(&mut self, worker: WorkerId, signal: Signal) {
        if let Some(life) = self.workers.get_mut(&worker)
            && !life.is_dead()
        {
            life.learn(Fact::Killed(signal));
            if life.pid().is_some() {
                self.act(Action::Signal { worker, signal });
            }
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        while let Some(reason) = self.deadlines.pop_due(now) {
            match reason {
                Reason::KillAfter(worker) => self.signal(worker, Signal::KILL),
                Reason::AcceptRetry(listener) => self.accept_again(listener),
                Reason::Untaken(worker) => self.check_untaken(now, worker),
                Reason::Check(listener) => self.check_slots(listener),
            }
        }
    }

    /// Tells each farewell whose last worker has gone.
    pub(super) fn tell_farewells(&mut self) {
        let workers = &self.workers;
        let done = |farewell: &mut Farewell| {
            farewell.awaited.retain(|worker| workers.contains_key(worker));
            farewell.awaited.is_empty()
        };
        let told: Vec<_> = self.farewells.extract_if(.., done).collect();
        for Farewell { id, .. } in told {
            self.tell(Event::Farewell { id });
        }
    }
}

/// One `disconnect_all`: the workers that it still waits for.
#[derive(Debug)]
pub(super) struct Farewell {
    id: FarewellId,
    awaited: Vec<WorkerId>,
}

impl Farewell {
    pub(super) fn new(id: FarewellId, awaited: &[WorkerId]) -> Self {
        Self { id, awaited: awaited.to_vec() }
    }
}
