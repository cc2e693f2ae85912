//! The control vocabulary: what the two sides say to each other.
//!
//! `cluster-ipc` turns these into bytes. Descriptors are not part of a message; each variant
//! says whether one rides along.

use std::net::SocketAddr;

use crate::address::Address;
use crate::id::{ListenerId, RequestId};
use crate::listen::{ListenError, ListenSpec};
use crate::schedule::Sharing;

/// What a worker says to its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ToPrimary {
    /// The program runs and has adopted its channel. First of all messages.
    Online,
    /// Asks to share a listener; answered by [`ToWorker::Listen`].
    Listen {
        /// Tells the answer apart from others.
        request: RequestId,
        /// What to listen on.
        spec: ListenSpec,
    },
    /// The application has its listener.
    Listening {
        /// Which one.
        listener: ListenerId,
    },
    /// The worker shares this listener no longer.
    Close {
        /// Which one.
        listener: ListenerId,
    },
    /// A connection that the worker has taken, but that its application never saw.
    /// One descriptor rides along.
    Returned {
        /// The listener that it came from.
        listener: ListenerId,
        /// The other end, where it has an address.
        peer: Option<SocketAddr>,
    },
    /// So many connections that the worker had been handed and had taken have ended for it, those
    /// among them that it [returns](Self::Returned) next. Said where a [`Grant`] or
    /// [`ToWorker::Report`] asks for it.
    Finished {
        /// How many since it was last said, or since the beginning.
        count: u64,
    },
    /// Answers [`ToWorker::Report`]. What had ended before is told before, if it is to be told.
    Reported,
    /// Answers [`ToWorker::Probe`].
    Awake,
    /// The worker begins to leave of its own will; answered by [`ToWorker::LeaveNoted`].
    Leaving,
}

impl ToPrimary {
    /// How many descriptors ride along.
    pub const fn handles(&self) -> usize {
        match self {
            Self::Returned { .. } => 1,
            Self::Online
            | Self::Listen { .. }
            | Self::Listening { .. }
            | Self::Close { .. }
            | Self::Finished { .. }
            | Self::Reported
            | Self::Awake
            | Self::Leaving => 0,
        }
    }
}

/// What a primary says to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ToWorker {
    /// Answers [`ToPrimary::Listen`]. With a socket that the worker accepts from itself, its
    /// descriptor rides along.
    Listen {
        /// The request answered.
        request: RequestId,
        /// The listener that the worker shares now, or why it cannot.
        result: Result<Grant, ListenError>,
    },
    /// The passage through which connections of a listener are handed over. Its descriptor rides
    /// along; the grant follows.
    Passage {
        /// The listener.
        listener: ListenerId,
    },
    /// Accept no connections until [`Self::Uncordon`], where the worker accepts for itself.
    Cordon,
    /// Accept connections again.
    Uncordon,
    /// Asks for [`ToPrimary::Awake`], as soon as the worker reads it.
    Probe,
    /// From now on, tell by [`ToPrimary::Finished`] when connections that were handed over have
    /// ended, or do so no longer; answered by [`ToPrimary::Reported`].
    Report {
        /// Whether to tell.
        ends: bool,
    },
    /// Asks the worker to leave: stop accepting, finish what is under way, close the channel.
    Disconnect,
    /// The primary knows that the worker leaves of its own will.
    LeaveNoted,
}

impl ToWorker {
    /// How many descriptors ride along.
    pub const fn handles(&self) -> usize {
        match self {
            Self::Passage { .. }
            | Self::Listen {
                result: Ok(Grant { sharing: Sharing::Kernel | Sharing::Sharded, .. }),
                ..
            } => 1,
            Self::Listen { .. }
            | Self::Cordon
            | Self::Uncordon
            | Self::Probe
            | Self::Report { .. }
            | Self::Disconnect
            | Self::LeaveNoted => 0,
        }
    }
}

/// A worker's share in a listener of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// The listener.
    pub listener: ListenerId,
    /// Where it really listens (port 0 replaced by the port obtained).
    pub address: Address,
    /// How it is shared.
    pub sharing: Sharing,
    /// The worker is to say when connections that it was handed have ended, until
    /// [`ToWorker::Report`] says otherwise.
    pub counted: bool,
    /// What the workers that share it are to know; see [`ListenSpec::data`].
    pub data: Vec<u8>,
}
