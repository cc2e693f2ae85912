//! A worker's share in a listener of the primary.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use cluster_sys::worker::Share;
use cluster_sys::{Address, Claim, Claims, Connection, ListenerId, Wishes};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, watch};

use crate::accept::Counter;
use crate::order::WorkerOrder;

/// A share in a listener. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Shared {
    listener: ListenerId,
    address: Address,
    data: Vec<u8>,
    wishes: Arc<Wishes>,
    /// The connections that were wished for.
    connections: Mutex<UnboundedReceiver<Connection>>,
    orders: UnboundedSender<WorkerOrder>,
    claims: Claims,
    cordoned: watch::Receiver<bool>,
}

impl Shared {
    /// A share, and the socket itself if the kernel shares it.
    pub(crate) fn new(
        share: Share,
        orders: UnboundedSender<WorkerOrder>,
        cordoned: watch::Receiver<bool>,
    ) -> (Self, Option<OwnedFd>) {
        let Share { listener, address, socket, data, claims } = share;
        let wishes = Arc::<Wishes>::default();
        let (counter, connections) = Counter::new(wishes.clone());
        // Also where this process accepts for itself: some connections may be handed over. A driver
        // that is gone closes the counter.
        drop(orders.send(WorkerOrder::Open(listener, counter)));
        let shared = Self {
            listener,
            address,
            data,
            wishes,
            connections: Mutex::new(connections),
            orders,
            claims,
            cordoned,
        };
        (shared, socket)
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The next connection that the primary hands over.
    pub(crate) async fn next(&self) -> io::Result<HandedOver> {
        let wish = self.wishes.wish();
        if self.wishes.is_timely() {
            // A driver that is gone has closed the queue.
            drop(self.orders.send(WorkerOrder::Accept(self.listener)));
        }
        let connection = self.connections.lock().await.recv().await.ok_or_else(closed)?;
        wish.fulfilled();
        Ok(connection.accept())
    }

    /// The next connection where this process has the socket: one that it accepts itself, or one
    /// that the primary hands over.
    pub(crate) async fn next_or<T>(
        &self,
        accept: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Arrival<T>> {
        tokio::select! {
            biased;
            handed_over = self.next() => handed_over.map(Arrival::HandedOver),
            accepted = self.unless_cordoned(accept) => accepted.map(Arrival::Accepted),
        }
    }

    /// Waits for something, and does not while the worker is cordoned off.
    async fn unless_cordoned<T>(
        &self,
        something: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut something = pin!(something);
        let mut cordoned = self.cordoned.clone();
        loop {
            cordoned.wait_for(|it| !it).await.map_err(|_| closed())?;
            tokio::select! {
                biased;
                _ = cordoned.wait_for(|it| *it) => {}
                it = &mut something => return it,
            }
        }
    }

    /// The claim to a connection that this process has accepted itself.
    pub(crate) fn claim(&self, peer: Option<SocketAddr>) -> Claim {
        self.claims.claim(peer)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A driver that is gone has closed everything.
        drop(self.orders.send(WorkerOrder::Close(self.listener)));
    }
}

/// A connection's socket, the other end's address where it has one, and the claim to it.
pub(crate) type HandedOver = (OwnedFd, Option<SocketAddr>, Claim);

/// A connection, in one of two ways.
#[derive(Debug)]
pub(crate) enum Arrival<T> {
    /// This process has accepted it.
    Accepted(T),
    /// It comes from the primary.
    HandedOver(HandedOver),
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
