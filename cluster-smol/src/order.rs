//! What an application may order of its driver.

use std::iter::Peekable;

use cluster_sys::board::Subscriber;
use cluster_sys::primary;

use crate::events::Stream;

/// What a primary's application wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something of the host.
    Host(primary::Command),
    /// A stream of events.
    Subscribe(Subscriber<Stream>),
}

impl Order {
    /// The next order, if it is one for the host: what is ordered together is written together.
    pub(crate) fn next_command(
        orders: &mut Peekable<impl Iterator<Item = Self>>,
    ) -> Option<primary::Command> {
        match orders.next_if(|order| matches!(order, Self::Host(_)))? {
            Self::Host(command) => Some(command),
            Self::Subscribe(_) => None,
        }
    }
}
