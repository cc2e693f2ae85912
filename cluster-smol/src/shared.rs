//! A worker's share in a listener of the primary.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use cluster_sys::worker::Share;
use cluster_sys::{Address, Claim, Claims, Connection, ListenerId, Wishes};
use smol::channel::Sender;
use smol::future::or;

use crate::accept::{Counter, Standing};
use crate::order::WorkerOrder;
use crate::queue::Queue;

/// A share in a listener. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Shared {
    listener: ListenerId,
    address: Address,
    data: Vec<u8>,
    wishes: Arc<Wishes>,
    /// The connections that were wished for.
    connections: Queue<Connection>,
    orders: Sender<WorkerOrder>,
    claims: Claims,
    standing: Arc<Standing>,
}

impl Shared {
    /// A share, and the socket itself if the kernel shares it.
    pub(crate) fn new(
        share: Share,
        orders: Sender<WorkerOrder>,
        standing: Arc<Standing>,
    ) -> (Self, Option<OwnedFd>) {
        let Share { listener, address, socket, data, claims } = share;
        let wishes = Arc::<Wishes>::default();
        let (counter, connections) = Counter::new(wishes.clone());
        // Also where this process accepts for itself: some connections may be handed over. A driver
        // that is gone closes the counter.
        drop(orders.try_send(WorkerOrder::Open(listener, counter)));
        let shared =
            Self { listener, address, data, wishes, connections, orders, claims, standing };
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
            drop(self.orders.try_send(WorkerOrder::Accept(self.listener)));
        }
        let connection = self.connections.next().await.ok_or_else(closed)?;
        wish.fulfilled();
        Ok(connection.accept())
    }

    /// The next connection where this process has the socket: one that it accepts itself, or one
    /// that the primary hands over.
    pub(crate) async fn next_or<T>(
        &self,
        accept: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Arrival<T>> {
        let handed_over = async { self.next().await.map(Arrival::HandedOver) };
        let accepted = async { self.unless_cordoned(accept).await.map(Arrival::Accepted) };
        or(handed_over, accepted).await
    }

    /// Waits for something, and does not while the worker is cordoned off.
    async fn unless_cordoned<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = pin!(something);
        loop {
            self.standing.cordoned(false).await;
            let stop = async {
                self.standing.cordoned(true).await;
                None
            };
            let go_on = async { Some(something.as_mut().await) };
            if let Some(it) = or(stop, go_on).await {
                return it;
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
        drop(self.orders.try_send(WorkerOrder::Close(self.listener)));
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
