//! The hosts: the only place where a core and system calls meet.
//!
//! A host owns every descriptor of its side, carries out what its core decides, and shows the
//! outside one pollable descriptor. Whoever drives it does, over and over:
//!
//! ```text
//!   take all events (poll_event)
//!   wait for one of: a command of the application, poll_fd readable, poll_timeout
//!   tell the host (handle_command, handle_ready, handle_timeout)
//! ```

pub mod primary;
pub mod worker;

pub(crate) mod handles;
mod ready;

/// What a turn of a host came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a host that has more to do is not readable again by itself"]
pub enum Progress {
    /// There is more to do at once: come back without waiting for readiness, after others had
    /// their turn.
    More,
    /// All is done that was to be done: wait for readiness.
    Drained,
}
