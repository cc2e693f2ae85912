//! How a primary is set up: a value, checked when it is made.

use crate::limits::{WAITING_DEFAULT, WINDOW_DEFAULT, WINDOW_MAX};
use crate::schedule::Schedule;

/// A primary's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    schedule: Schedule,
    waiting: usize,
    window: usize,
}

impl Config {
    /// Settings of one's own.
    ///
    /// * `schedule`: who gets the next connection;
    /// * `waiting`: how many accepted connections of one listener may wait in the primary
    ///   before accepting pauses;
    /// * `window`: how many connections a worker may have been handed and not yet taken.
    ///
    /// # Errors
    ///
    /// If `waiting` is 0, or `window` is 0 or more than [`WINDOW_MAX`].
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
        Ok(Self { schedule, waiting, window })
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
}

impl Default for Config {
    fn default() -> Self {
        Self { schedule: Schedule::default(), waiting: WAITING_DEFAULT, window: WINDOW_DEFAULT }
    }
}

/// Settings that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing could ever wait.
    #[error("at least one connection must be able to wait in the primary")]
    NoRoomToWait,
    /// The window is 0 or too large.
    #[error("a window of {0} is not between 1 and {WINDOW_MAX}")]
    Window(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reached_and_not_passed() {
        let new = |waiting, window| Config::new(Schedule::RoundRobin, waiting, window);
        assert!(new(1, WINDOW_MAX).is_ok());
        assert_eq!(new(1, WINDOW_MAX + 1), Err(ConfigError::Window(WINDOW_MAX + 1)));
        assert_eq!(new(1, 0), Err(ConfigError::Window(0)));
        assert_eq!(new(0, 1), Err(ConfigError::NoRoomToWait));
        assert_eq!(new(WAITING_DEFAULT, WINDOW_DEFAULT), Ok(Config::default()));
    }
}
