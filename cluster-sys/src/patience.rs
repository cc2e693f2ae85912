//! Whether a primary interrupts others to accept.
//!
//! A process that is woken interrupts the one that runs, if that one has run for a while. A primary
//! under load is woken for each connection, and where processors are scarce, it interrupts its own
//! workers each time: switching back and forth then costs more than the hand-off itself. Under
//! `SCHED_BATCH` (sched(7)) it waits until whoever runs has done its part, and accepts what has
//! come together meanwhile. A processor that is free it gets at once all the same.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Pid, gettid};

use crate::limits::{PATIENT_BELOW, PATIENT_FROM};

/// Makes the thread that drives a host patient while connections come in so fast that it pays, and
/// eager again when they do not.
#[derive(Debug)]
pub(crate) struct Patience {
    measured: Measured,
    /// The thread that is patient.
    patient: Option<Pid>,
    allowed: bool,
}

/// What has happened since some moment.
#[derive(Debug, Default)]
struct Measured {
    since: Option<Instant>,
    /// Turns in which connections were accepted.
    turns: u32,
    connections: u32,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { measured: Measured::default(), patient: None, allowed: true }
    }

    /// Never to be patient again.
    pub(crate) fn forbid(&mut self) {
        self.allowed = false;
        self.relax();
    }

    /// A turn has accepted so many connections.
    pub(crate) fn turn(&mut self, now: Instant, connections: u32) {
        match self.measured.judge(now, connections) {
            Some(Pace::Fast) if self.allowed => self.wait_in_line(),
            Some(Pace::Slow) => self.relax(),
            Some(Pace::Fast | Pace::Steady) | None => {}
        }
    }

    /// Back to how it was. Also before a fork: children inherit the policy.
    pub(crate) fn relax(&mut self) {
        if let Some(thread) = self.patient.take()
            && (thread == gettid() || Path::new(&format!("/proc/self/task/{thread}")).exists())
        {
            // A thread that has just ended needs no more.
            set_policy(thread, libc::SCHED_OTHER).unwrap_or_default();
        }
    }

    fn wait_in_line(&mut self) {
        let thread = gettid();
        if self.patient == Some(thread) {
            return;
        }
        self.relax();
        // Whoever has chosen a policy keeps it, and where it may not be changed, it is not.
        if policy(thread) == Ok(libc::SCHED_OTHER) && set_policy(thread, libc::SCHED_BATCH).is_ok()
        {
            self.patient = Some(thread);
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.relax();
    }
}

/// How fast connections come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Each one wakes the primary anew.
    Fast,
    Steady,
    Slow,
}

impl Measured {
    /// Judges when enough time has passed, and begins anew.
    fn judge(&mut self, now: Instant, connections: u32) -> Option<Pace> {
        let since = *self.since.get_or_insert(now);
        self.turns += u32::from(connections > 0);
        self.connections += connections;
        if now.saturating_duration_since(since) < PERIOD {
            return None;
        }
        let span = now.saturating_duration_since(since);
        let rate = |count: u32| (u128::from(count) * 1_000_000 / span.as_micros()) as u64;
        let pace = if rate(self.turns) >= PATIENT_FROM {
            Pace::Fast
        } else if rate(self.connections) < PATIENT_BELOW {
            Pace::Slow
        } else {
            Pace::Steady
        };
        *self = Self { since: Some(now), turns: 0, connections: 0 };
        Some(pace)
    }
}

fn policy(thread: Pid) -> nix::Result<i32> {
    // SAFETY: sched_getscheduler takes a number and gives one.
    Errno::result(unsafe { libc::sched_getscheduler(thread.as_raw()) })
}

fn set_policy(thread: Pid, policy: i32) -> nix::Result<()> {
    // SAFETY: a parameter of zeros is what these policies ask for (sched(7)).
    let parameter = unsafe { std::mem::zeroed::<libc::sched_param>() };
    // SAFETY: sched_setscheduler only reads the parameter, which outlives the call.
    Errno::result(unsafe {
        libc::sched_setscheduler(thread.as_raw(), policy, &raw const parameter)
    })
    .map(drop)
}

/// How long is measured at a time.
const PERIOD: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// So many turns in one period, each with so many connections.
    fn pace(turns: u32, connections: u32) -> Option<Pace> {
        let mut measured = Measured::default();
        let start = Instant::now();
        assert_eq!(measured.judge(start, 0), None);
        for _ in 0..turns {
            assert_eq!(measured.judge(start + PERIOD / 2, connections), None);
        }
        measured.judge(start + PERIOD, 0)
    }

    #[test]
    fn it_is_turns_that_cost_and_connections_that_pay() {
        let count = |rate: u64| u32::try_from(rate * PERIOD.as_millis() as u64 / 1000).unwrap();
        assert_eq!(pace(count(PATIENT_FROM), 1), Some(Pace::Fast));
        assert_eq!(pace(count(PATIENT_FROM) - 1, 1), Some(Pace::Steady));
        assert_eq!(pace(count(PATIENT_BELOW), 1), Some(Pace::Steady));
        assert_eq!(pace(count(PATIENT_BELOW) - 1, 1), Some(Pace::Slow));
        assert_eq!(pace(1, count(PATIENT_BELOW)), Some(Pace::Steady));
    }

    #[test]
    fn only_a_thread_that_is_fast_is_patient_and_none_afterwards() {
        std::thread::spawn(|| {
            let now = || policy(gettid()).expect("a policy");
            let mut patience = Patience::new();
            patience.wait_in_line();
            assert_eq!(now(), libc::SCHED_BATCH);
            std::thread::spawn(move || {
                // A thread inherits the policy, too.
                set_policy(gettid(), libc::SCHED_OTHER).expect("one may always");
                patience.wait_in_line();
                assert_eq!(now(), libc::SCHED_BATCH, "another thread goes on");
                patience.relax();
                assert_eq!(now(), libc::SCHED_OTHER);
                patience.forbid();
                let Patience { measured, .. } = &mut patience;
                measured.turns = 1_000_000;
                measured.since = Some(long_ago());
                patience.turn(long_ago() + PERIOD, 0);
                assert_eq!(now(), libc::SCHED_OTHER, "it was told not to be");
            })
            .join()
            .expect("no failure");
            assert_eq!(now(), libc::SCHED_OTHER, "the first one was relaxed");
        })
        .join()
        .expect("no failure");
    }

    fn long_ago() -> Instant {
        static MOMENT: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *MOMENT.get_or_init(Instant::now)
    }
}
