//! What a worker holds of the connections that it has.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use cluster_core::ListenerId;
use mio::Waker;

use crate::activity::{Activity, Guard};
use crate::arrivals::Arrived;
use crate::socket::{Accepted, ListenSocket};

/// What a worker holds beside the socket of a connection that it has accepted: as long as it
/// lives, the connection counts as under way.
#[derive(Debug)]
pub struct Claim {
    guard: Guard,
    /// The way back, for a connection that others could have.
    way_back: Option<(ListenerId, Option<SocketAddr>, Returner)>,
}

impl Claim {
    /// The claim to a connection that came neither from the primary nor from a socket that it
    /// lent.
    pub const fn own(guard: Guard) -> Self {
        Self { guard, way_back: None }
    }

    /// Whether the connection is better given back: this worker is leaving, and another one
    /// could have it.
    pub fn wants_back(&self) -> bool {
        self.way_back.is_some() && self.guard.is_watched()
    }

    /// Gives the connection to another worker. That is possible as long as nothing was read from
    /// the socket, nothing was written, and neither direction was shut down. One that has no way
    /// back is closed.
    pub fn give_back(self, socket: OwnedFd) {
        if let Some((listener, peer, returns)) = self.way_back {
            returns.give_back(Returned { listener, socket, peer, guard: self.guard });
        }
    }
}

/// Makes the claims to the connections of one listener.
#[derive(Clone, Debug)]
pub struct Claims {
    listener: ListenerId,
    activity: Activity,
    returns: Returner,
}

impl Claims {
    pub(crate) const fn new(listener: ListenerId, activity: Activity, returns: Returner) -> Self {
        Self { listener, activity, returns }
    }

    /// Takes the next connection that waits in a socket that the primary lent.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: there is none.
    /// - `NotConnected`: this worker is leaving, and others get what waits.
    /// - Others as for [`ListenSocket::accept_waiting`].
    pub fn accept(&self, socket: &ListenSocket) -> io::Result<Arrived> {
        let guard = self.begin()?;
        let Accepted { socket, peer } = socket.accept_waiting()?;
        Ok((socket, peer, self.claim_with(guard, peer)))
    }

    /// What is accepted counts as under way from before it is: a worker that leaves either waits
    /// for it or leaves it to others.
    pub(crate) fn begin(&self) -> io::Result<Guard> {
        self.activity.begin_unless_watched().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The claim to a connection that the primary has handed over.
    pub(crate) fn claim_handed(&self, mut guard: Guard, peer: Option<SocketAddr>) -> Claim {
        guard.is_handed();
        self.claim_with(guard, peer)
    }

    fn claim_with(&self, guard: Guard, peer: Option<SocketAddr>) -> Claim {
        Claim { guard, way_back: Some((self.listener, peer, self.returns.clone())) }
    }
}

/// A connection that comes back. Its guard lives on until the primary is told.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) listener: ListenerId,
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) guard: Guard,
}

/// The way back to the host.
#[derive(Clone, Debug)]
pub(crate) struct Returner {
    sender: Sender<Returned>,
    waker: Arc<Waker>,
}

impl Returner {
    pub(crate) fn new(waker: Arc<Waker>) -> (Self, Receiver<Returned>) {
        let (sender, receiver) = channel();
        (Self { sender, waker }, receiver)
    }

    fn give_back(&self, returned: Returned) {
        // A host that is gone has no primary to give anything back to: the connection closes.
        self.sender.send(returned).unwrap_or_default();
        self.waker.wake().unwrap_or_default();
    }
}
