//! A connection on its way from the host to the application.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use cluster_core::ListenerId;
use mio::Waker;

use crate::activity::{Activity, Guard};

/// A connection that this worker has taken and that its application has not seen.
///
/// Dropped before [`accept`](Self::accept), it goes back to the primary and to another worker:
/// no connection is lost in a queue, in a future that was cancelled, or in a listener that was
/// closed.
#[derive(Debug)]
pub struct Connection {
    parts: Option<Returned>,
    returns: Returner,
}

impl Connection {
    pub(crate) fn new(
        listener: ListenerId,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        guard: Guard,
        returns: Returner,
    ) -> Self {
        Self { parts: Some(Returned { listener, socket, peer, guard }), returns }
    }

    /// Hands the socket to the application: non-blocking, with the address of its other end if
    /// it has one, and with the claim to it.
    pub fn accept(mut self) -> (OwnedFd, Option<SocketAddr>, Claim) {
        let Some(Returned { listener, socket, peer, guard }) = self.parts.take() else {
            unreachable!("the parts are there until the connection is accepted or dropped")
        };
        (socket, peer, Claim { guard, way_back: Some((listener, peer, self.returns.clone())) })
    }
}

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

/// Makes the claims to connections that this worker accepts itself, from a socket that the
/// primary lent.
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

    /// The claim to a connection from `peer` (where it has an address) that was just accepted.
    pub fn claim(&self, peer: Option<SocketAddr>) -> Claim {
        let way_back = Some((self.listener, peer, self.returns.clone()));
        Claim { guard: self.activity.begin(), way_back }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(returned) = self.parts.take() {
            self.returns.give_back(returned);
        }
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
