//! What a machine says when it is polled.

use std::time::Instant;

/// One thing that a machine wants done, told, or waited for.
///
/// Outputs come in the order in which their effects must be seen: an action before an event is
/// carried out before the event is shown, and the reverse.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<Action, Event> {
    /// Work for the host.
    Action(Action),
    /// News for the application.
    Event(Event),
    /// Nothing more to say until there is a new input, a command, or this moment has come.
    Wait(Option<Instant>),
}
