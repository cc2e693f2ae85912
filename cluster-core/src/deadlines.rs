//! Moments that a machine waits for, each with the reason why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::{ListenerId, WorkerId};

/// Why a deadline exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The worker was asked to leave and will be killed if it has not ended by then.
    KillAfter(WorkerId),
    /// Accepting rests, because the operating system refused it, and will be tried again.
    AcceptRetry(ListenerId),
    /// Somebody is to see whether the worker has taken what it was handed.
    Untaken(WorkerId),
    /// Somebody is to look whether workers accept from the sockets of their own.
    Check(ListenerId),
}

/// At most one moment for each reason.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    moments: BTreeMap<Reason, Instant>,
    in_order: BTreeSet<(Instant, Reason)>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, reason: Reason, at: Instant) {
        self.stop(reason);
        self.moments.insert(reason, at);
        self.in_order.insert((at, reason));
    }

    /// Sets a deadline, unless there is an earlier one for the same reason.
    pub(crate) fn tighten(&mut self, reason: Reason, at: Instant) {
        if self.moments.get(&reason).is_none_or(|earlier| at < *earlier) {
            self.set(reason, at);
        }
    }

    pub(crate) fn stop(&mut self, reason: Reason) {
        if let Some(at) = self.moments.remove(&reason) {
            self.in_order.remove(&(at, reason));
        }
    }

    pub(crate) fn is_set(&self, reason: Reason) -> bool {
        self.moments.contains_key(&reason)
    }

    /// The earliest moment and its reason.
    pub(crate) fn next(&self) -> Option<(Instant, Reason)> {
        self.in_order.first().copied()
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
