//! Which side of a cluster this process is on.

use std::io;
use std::sync::OnceLock;

use cluster_sys::WorkerHost;
use cluster_sys::invitation::{Invitation, InvitationError};

use crate::builder::Builder;
use crate::driver;
use crate::this_worker::ThisWorker;

/// What this process is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process makes one, and takes it apart at once")]
pub enum Role {
    /// It was not started by a cluster: it may start one.
    Primary(Builder),
    /// A cluster started it.
    Worker(ThisWorker),
}

/// Tells whether this process is a primary or a worker. A worker joins its cluster with the
/// first call; a later one answers with the same [`ThisWorker`].
///
/// A process is a worker if the environment variable `CLUSTER_WORKER` names an open descriptor
/// and that is the very socket that the primary made. The environment is not changed, and a
/// child of a worker is no worker: the channel is closed when it is executed. (In Node, a
/// worker removes the variable `NODE_UNIQUE_ID`.)
///
/// # Errors
///
/// If the variable makes no sense, or the channel cannot be taken over.
pub fn role() -> Result<Role, RoleError> {
    Ok(match this_worker()? {
        Some(worker) => Role::Worker(worker),
        None => Role::Primary(Builder::new()),
    })
}

/// Whether a cluster started this process. (Node: `cluster.isWorker`.)
pub fn is_worker() -> bool {
    THIS_WORKER.get().is_some() || matches!(Invitation::from_environment(), Ok(Some(_)))
}

/// Whether no cluster started this process. (Node: `cluster.isPrimary`.)
pub fn is_primary() -> bool {
    !is_worker()
}

/// The old name of [`is_primary`].
#[deprecated(note = "it is called `is_primary` now, as in Node")]
pub fn is_master() -> bool {
    is_primary()
}

/// This process could not find its role.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// The variable that makes a process a worker makes no sense.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The channel to the primary cannot be taken over.
    #[error("cannot join the cluster")]
    Join(#[source] io::Error),
}

/// Joins the cluster, if this process was invited to one.
pub(crate) fn this_worker() -> Result<Option<ThisWorker>, RoleError> {
    if let Some(worker) = THIS_WORKER.get() {
        return Ok(Some(worker.clone()));
    }
    let Some(invitation) = Invitation::from_environment()? else { return Ok(None) };
    let host = WorkerHost::new(invitation).map_err(RoleError::Join)?;
    let worker = driver::start_worker(host).map_err(RoleError::Join)?;
    Ok(Some(THIS_WORKER.get_or_init(|| worker).clone()))
}

/// The channel is a descriptor of the process, and so there is one for the process.
static THIS_WORKER: OnceLock<ThisWorker> = OnceLock::new();
