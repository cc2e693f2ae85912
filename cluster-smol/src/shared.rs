//! A worker's share in a listener of the primary.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cluster_sys::worker::Share;
use cluster_sys::{Activity, Address, Claim, Connection, ListenerId};
use smol::channel::{Sender, bounded};
use smol::future::or;

use crate::accept::{Stage, Standing};
use crate::order::WorkerOrder;

/// A share in a listener. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Shared {
    listener: ListenerId,
    address: Address,
    data: Vec<u8>,
    orders: Sender<WorkerOrder>,
    activity: Activity,
    standing: Arc<Standing>,
}

impl Shared {
    /// A share, and the socket itself if the kernel shares it.
    pub(crate) fn new(
        share: Share,
        orders: Sender<WorkerOrder>,
        activity: Activity,
        standing: Arc<Standing>,
    ) -> (Self, Option<OwnedFd>) {
        let Share { listener, address, socket, data } = share;
        (Self { listener, address, data, orders, activity, standing }, socket)
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The next connection that the primary hands over.
    pub(crate) async fn next(&self) -> io::Result<(OwnedFd, Option<SocketAddr>, Claim)> {
        let (waiter, connection) = bounded(1);
        let order = WorkerOrder::Accept(self.listener, waiter);
        self.orders.try_send(order).map_err(|_| closed())?;
        let connection: Connection = connection.recv().await.map_err(|_| closed())?;
        Ok(connection.accept())
    }

    /// Something that this process accepts itself, unless it is leaving.
    pub(crate) async fn while_here<T>(
        &self,
        accept: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let leaving = async {
            self.standing.reached(Stage::Leaving).await;
            Err(closed())
        };
        or(leaving, accept).await
    }

    /// The claim to a connection that this process has accepted itself.
    pub(crate) fn claim(&self) -> Claim {
        Claim::own(self.activity.begin())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A driver that is gone has closed everything.
        drop(self.orders.try_send(WorkerOrder::Close(self.listener)));
    }
}

/// The listener takes no more connections: this worker is leaving, or has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerClosed;

impl fmt::Display for ListenerClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the listener is closed: this worker is leaving")
    }
}

impl std::error::Error for ListenerClosed {}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, ListenerClosed)
}
