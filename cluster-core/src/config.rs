//! How a primary is set up: a value, checked when it is made.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits::{BUDGET_DEFAULT, WAITING_DEFAULT, WINDOW_DEFAULT, WINDOW_MAX};
use crate::schedule::Schedule;

/// A primary's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    schedule: Schedule,
    waiting: usize,
    window: usize,
    budget: usize,
    slow_start: Duration,
    overload: Overload,
    seed: u64,
}

/// What becomes of new connections when no worker has room and as many wait as may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// Accepting pauses: they wait in the kernel's backlog, and beyond it, their clients do.
    #[default]
    Wait,
    /// They are accepted and closed at once, so that their clients know.
    Close,
}

impl Config {
    /// Settings of one's own; what they do not mention has its default.
    ///
    /// * `schedule`: who gets the next connection;
    /// * `waiting`: how many accepted connections of one listener may wait in the primary
    ///   before accepting pauses;
    /// * `window`: how many connections a worker may have been handed and not yet taken, when it
    ///   takes them promptly.
    ///
    /// # Errors
    ///
    /// If `waiting` is 0, `window` is 0 or more than [`WINDOW_MAX`], or a sticky schedule is
    /// bound to less than an equal part.
    pub const fn new(
        schedule: Schedule,
        waiting: usize,
        window: usize,
    ) -> Result<Self, ConfigError> {
        if waiting == 0 {
            return Err(ConfigError::NoRoomToWait);
        }
        if window == 0 || window > WINDOW_MAX {
            return Err(ConfigError::Window(window));
        }
        let config = Self {
            schedule: Schedule::RoundRobin,
            waiting,
            window,
            budget: BUDGET_DEFAULT,
            slow_start: Duration::ZERO,
            overload: Overload::Wait,
            seed: 0,
        };
        config.with_schedule(schedule)
    }

    /// Who gets the next connection.
    ///
    /// # Errors
    ///
    /// If a sticky schedule is bound to less than an equal part.
    pub const fn with_schedule(self, schedule: Schedule) -> Result<Self, ConfigError> {
        if let Schedule::Sticky { bound: Some(bound), .. } = schedule
            && bound.get() < 100
        {
            return Err(ConfigError::StickyBound(bound));
        }
        Ok(Self { schedule, ..self })
    }

    /// How many connections the primary may answer for, waiting and in flight together
    /// ([`BUDGET_DEFAULT`] if nothing is said). Beyond it, accepting pauses. Each primary has a
    /// budget of its own, also where one process has several.
    ///
    /// # Errors
    ///
    /// If it is 0.
    pub const fn with_budget(self, budget: usize) -> Result<Self, ConfigError> {
        if budget == 0 {
            return Err(ConfigError::NoBudget);
        }
        Ok(Self { budget, ..self })
    }

    /// How long a worker that begins to listen gets less than its share, growing with time. Not
    /// at all if nothing is said. (Workers that accept for themselves, and peers that stick to
    /// their worker, know of no slow start.)
    pub const fn with_slow_start(self, slow_start: Duration) -> Self {
        Self { slow_start, ..self }
    }

    /// What becomes of new connections when no worker has room and as many wait as may.
    pub const fn with_overload(self, overload: Overload) -> Self {
        Self { overload, ..self }
    }

    /// What random numbers are made of. The same seed and the same facts give the same
    /// decisions.
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Who gets the next connection.
    pub const fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// How many accepted connections of one listener may wait in the primary.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many untaken connections a worker may have.
    pub const fn window(&self) -> usize {
        self.window
    }

    /// How many connections the primary may answer for, waiting and in flight together.
    pub const fn budget(&self) -> usize {
        self.budget
    }

    /// How long a fresh worker gets less than its share.
    pub const fn slow_start(&self) -> Duration {
        self.slow_start
    }

    /// What becomes of new connections when no worker has room and as many wait as may.
    pub const fn overload(&self) -> Overload {
        self.overload
    }

    /// What random numbers are made of.
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Schedule::RoundRobin, WAITING_DEFAULT, WINDOW_DEFAULT)
            .expect("the defaults are in their ranges")
    }
}

/// Settings that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing could ever wait.
    #[error("at least one connection must be able to wait in the primary")]
    NoRoomToWait,
    /// The window is 0 or too large.
    #[error("a window of {0} is not between 1 and {WINDOW_MAX}")]
    Window(usize),
    /// Connections would wait although all workers are idle.
    #[error("a sticky bound of {0} hundredths is less than an equal part")]
    StickyBound(NonZeroU32),
    /// Nothing could ever be handed over.
    #[error("the primary must be able to hold at least one connection")]
    NoBudget,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Key;

    #[test]
    fn limits_are_reached_and_not_passed() {
        let new = |waiting, window| Config::new(Schedule::RoundRobin, waiting, window);
        assert!(new(1, WINDOW_MAX).is_ok());
        assert_eq!(new(1, WINDOW_MAX + 1), Err(ConfigError::Window(WINDOW_MAX + 1)));
        assert_eq!(new(1, 0), Err(ConfigError::Window(0)));
        assert_eq!(new(0, 1), Err(ConfigError::NoRoomToWait));
        assert_eq!(new(WAITING_DEFAULT, WINDOW_DEFAULT), Ok(Config::default()));
        assert!(Config::default().with_budget(1).is_ok());
        assert_eq!(Config::default().with_budget(0), Err(ConfigError::NoBudget));
    }

    #[test]
    fn a_sticky_bound_lets_each_have_its_part() {
        let bound = |hundredths| {
            let bound = NonZeroU32::new(hundredths);
            Config::new(Schedule::Sticky { by: Key::PeerIp, bound }, 1, 1)
        };
        assert!(bound(0).is_ok() && bound(100).is_ok());
        let least = NonZeroU32::new(99).expect("not 0");
        assert_eq!(bound(99), Err(ConfigError::StickyBound(least)));
    }
}
