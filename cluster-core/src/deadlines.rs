//! Moments that a machine waits for, each with the reason why.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::id::{ListenerId, WorkerId};

/// Why a deadline exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The worker was asked to leave and will be killed if it has not ended by then.
    KillAfter(WorkerId),
    /// Accepting rests, because the operating system refused it, and will be tried again.
    AcceptRetry(ListenerId),
}

/// At most one moment for each reason.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    moments: BTreeMap<Reason, Instant>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, reason: Reason, at: Instant) {
        self.moments.insert(reason, at);
    }

    /// Sets a deadline, unless there is an earlier one for the same reason.
    pub(crate) fn tighten(&mut self, reason: Reason, at: Instant) {
        let moment = self.moments.entry(reason).or_insert(at);
        *moment = at.min(*moment);
    }

    pub(crate) fn stop(&mut self, reason: Reason) {
        self.moments.remove(&reason);
    }

    /// The earliest moment and its reason.
    pub(crate) fn next(&self) -> Option<(Instant, Reason)> {
        self.moments.iter().map(|(reason, at)| (*at, *reason)).min()
    }

    /// Takes out one deadline that has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Reason> {
        let (at, reason) = self.next()?;
        (at <= now).then(|| {
            self.stop(reason);
            reason
        })
    }
}
