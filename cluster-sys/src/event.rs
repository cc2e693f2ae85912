//! News of a cluster, as an application hears it.

use std::fmt;
use std::sync::Arc;

use cluster_core::{Address, ExitStatus, OsError, Pid, Signal, WorkerId};

use crate::link::LinkError;
use crate::message::Message;
use crate::settings::InForce;
use crate::spawn::SpawnError;

/// Something that happened to a worker, or to the cluster.
///
/// Displayed, it is one line: the event's name, the worker's number, and what belongs to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The settings of later forks were changed. (Node: `setup`, which a fork causes, too.)
    Setup {
        /// What is in force now.
        settings: Arc<InForce>,
    },
    /// A worker's process runs. (Node: `fork`.)
    Fork {
        /// Which worker.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
    },
    /// A worker's program has adopted its channel. (Node: `online`.)
    Online {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker's application has a listener. (Node: `listening`.)
    Listening {
        /// Which worker.
        worker: WorkerId,
        /// Where it really listens.
        address: Address,
    },
    /// A worker's application has sent a message. (Node: `message`.)
    Message {
        /// Which worker.
        worker: WorkerId,
        /// What it has sent.
        message: Message,
    },
    /// A worker has begun to leave gracefully. (Node has no such event.)
    Draining {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker's channel has ended; once a worker. (Node: `disconnect`.)
    Disconnect {
        /// Which worker.
        worker: WorkerId,
        /// Whether it was asked to leave, or said that it leaves.
        exited_after_disconnect: bool,
    },
    /// A worker's process has ended; once a worker, before or after `Disconnect`. (Node: `exit`.)
    Exit {
        /// Which worker.
        worker: WorkerId,
        /// How it ended.
        status: ExitStatus,
        /// Whether it was asked to leave, or said that it leaves.
        exited_after_disconnect: bool,
    },
    /// Something failed. The cluster goes on. (Node: `error`.)
    Error {
        /// The worker concerned, if it is one.
        worker: Option<WorkerId>,
        /// What failed.
        error: ClusterError,
    },
}

impl Event {
    /// The worker concerned; `None` for what concerns no single one.
    pub const fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Fork { worker, .. }
            | Self::Online { worker }
            | Self::Listening { worker, .. }
            | Self::Message { worker, .. }
            | Self::Draining { worker }
            | Self::Disconnect { worker, .. }
            | Self::Exit { worker, .. } => Some(*worker),
            Self::Error { worker, .. } => *worker,
            Self::Setup { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup { settings } => write!(f, "setup {}", settings.program.exec.display()),
            Self::Fork { worker, pid } => write!(f, "fork {worker} {pid}"),
            Self::Online { worker } => write!(f, "online {worker}"),
            Self::Listening { worker, address } => write!(f, "listening {worker} {address}"),
            Self::Message { worker, message } => {
                write!(f, "message {worker} {} bytes", message.payload().len())
            }
            Self::Draining { worker } => write!(f, "draining {worker}"),
            Self::Disconnect { worker, .. } => write!(f, "disconnect {worker}"),
            Self::Exit { worker, status, exited_after_disconnect } => {
                write!(
                    f,
                    "exit {worker} {status} exited_after_disconnect={exited_after_disconnect}"
                )
            }
            Self::Error { worker: Some(worker), error } => write!(f, "error {worker} {error}"),
            Self::Error { worker: None, error } => write!(f, "error - {error}"),
        }
    }
}

/// What failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A worker could not be started.
    #[error("{error}: {cause}", error = .0, cause = .0.source)]
    Spawn(Arc<SpawnError>),
    /// A worker's channel failed. It is closed.
    #[error("channel: {0}")]
    Channel(Arc<LinkError>),
    /// A signal could not be sent.
    #[error("cannot send {signal}: {cause}", cause = std::io::Error::from_raw_os_error(error.0))]
    Signal {
        /// The signal.
        signal: Signal,
        /// Why.
        error: OsError,
    },
    /// The kernel does not spread connections on an address as it should; they are served all
    /// the same.
    #[error("cannot spread what comes to {address}: {cause}", cause = std::io::Error::from_raw_os_error(error.0))]
    Spread {
        /// The address.
        address: Address,
        /// Why.
        error: OsError,
    },
    /// Connections on an address are not accepted for now; they wait in the kernel.
    #[error("cannot accept on {address}: {cause}", cause = std::io::Error::from_raw_os_error(error.0))]
    Accept {
        /// The address.
        address: Address,
        /// Why.
        error: OsError,
    },
}
