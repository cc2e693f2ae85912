//! What an application may order of its driver.

use cluster_sys::{Connection, ListenerId, primary, worker};
use smol::channel::Sender;

use crate::events::Subscriber;

/// What a primary's application wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something of the host.
    Host(primary::Command),
    /// A stream of events.
    Subscribe(Subscriber),
}

/// What a worker's application wants.
#[derive(Debug)]
pub(crate) enum WorkerOrder {
    /// Something of the host.
    Host(worker::Command),
    /// The next connection of a listener.
    Accept(ListenerId, Sender<Connection>),
    /// No more connections of a listener.
    Close(ListenerId),
}
