//! What a worker asks for when it listens, and what it may be told.

use crate::address::Address;
use crate::limits::BACKLOG_DEFAULT;

/// A request to listen on an address.
///
/// When workers share a listener, the first one's values are in force for all: only the
/// address is part of a listener's identity, as in Node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ListenSpec {
    /// Where to listen.
    pub address: Address,
    /// How many connections may wait in the kernel, as in listen(2).
    pub backlog: u32,
    /// An IPv6 address takes no IPv4 connections (Node: `ipv6Only`).
    pub ipv6_only: bool,
    /// A UDP address may be bound although another socket has it (Node: `reuseAddr`).
    pub reuse_address: bool,
    /// Everybody may connect to a unix socket for reading (Node: `readableAll`).
    pub readable_all: bool,
    /// Everybody may connect to a unix socket for writing (Node: `writableAll`).
    pub writable_all: bool,
    /// Something that all workers that share the listener are to know, such as keys of session
    /// tickets: the first that is not empty wins, and comes with every [`Grant`].
    ///
    /// [`Grant`]: crate::Grant
    pub data: Vec<u8>,
}

impl ListenSpec {
    /// Listens on `address` with Node's default backlog of 511.
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            backlog: BACKLOG_DEFAULT,
            ipv6_only: false,
            reuse_address: false,
            readable_all: false,
            writable_all: false,
            data: Vec::new(),
        }
    }
}

/// Why a worker cannot listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ListenError {
    /// This worker listens on that address already (Node: `EADDRINUSE`).
    #[error("this worker listens on that address already")]
    AlreadyListening,
    /// The worker is leaving: what it began now could never be served.
    #[error("the worker is leaving")]
    Leaving,
    /// The worker has as many listeners as it may ([`LISTENERS_PER_WORKER`]).
    ///
    /// [`LISTENERS_PER_WORKER`]: crate::limits::LISTENERS_PER_WORKER
    #[error("the worker has as many listeners as it may")]
    TooMany,
    /// There is more data than a listener may carry ([`LISTENER_DATA_MAX`]).
    ///
    /// [`LISTENER_DATA_MAX`]: crate::limits::LISTENER_DATA_MAX
    #[error("there is more data than a listener may carry")]
    TooMuchData,
    /// The channel to the primary closed before the answer came.
    #[error("the channel to the primary is closed")]
    Disconnected,
    /// The listener's descriptor did not arrive: the worker had no room for it.
    #[error("the listener's descriptor was lost on its way")]
    Lost,
    /// The operating system refused.
    #[error("{0}")]
    Os(OsError),
}

/// An error number of the operating system (`errno`), opaque to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("os error {0}")]
pub struct OsError(pub i32);
