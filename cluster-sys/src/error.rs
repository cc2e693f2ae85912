//! What can go wrong, for each operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cluster_core::primary::TooManyWorkers;
use cluster_core::{ConfigError, ListenError, OsError};
use cluster_ipc::EncodeError;

use crate::spawn::SpawnError;

/// A worker could not be started. There is no process and no worker.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The operating system refused.
    #[error("cannot run {program}: {error}: {cause}", program = program.display(), cause = error.source)]
    Spawn {
        /// What was to be executed.
        program: PathBuf,
        /// Why it was not.
        error: Arc<SpawnError>,
    },
    /// There are as many workers as may be.
    #[error(transparent)]
    TooManyWorkers(#[from] TooManyWorkers),
    /// The cluster has ended.
    #[error("the cluster has ended")]
    Closed,
}

/// The schedule was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster has ended.
    #[error("the cluster has ended")]
    Closed,
}

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closed; whether an earlier message arrived is not known.
    #[error("the channel is closed")]
    Disconnected,
    /// The value cannot be encoded.
    #[error(transparent)]
    Payload(#[from] cluster_ipc::PayloadError),
    /// The message cannot be framed: it is too large, or has too many handles.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A handle cannot be sent.
    #[error("a handle cannot be sent")]
    Handle(#[from] io::Error),
}

/// A message was not queued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// As much is queued as may be.
    #[error("too many bytes wait to be sent")]
    Full,
    /// It would not have been sent in any case.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// A worker has left, or ended, before it listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker has left or ended before it listened")]
pub struct NotListening;

/// The cluster has ended: its host is gone, and all workers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster has ended")]
pub struct Closed;

/// A listener's error as the application of a worker expects it: that of the system call which
/// the primary made for it.
pub fn listen_error(error: ListenError) -> io::Error {
    let kind = match error {
        ListenError::Os(OsError(errno)) => return io::Error::from_raw_os_error(errno),
        ListenError::AlreadyListening => io::ErrorKind::AddrInUse,
        ListenError::Leaving | ListenError::Disconnected => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
