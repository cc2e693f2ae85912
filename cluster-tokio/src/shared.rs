//! A worker's share in a listener of the primary.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;

use cluster_sys::worker::{Command, Share};
use cluster_sys::{Address, Arrivals, Arrived, Claim, Claims, ListenerId};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::desk::Stage;
use crate::driver::watch_fd;

/// A share in a listener. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Shared {
    listener: ListenerId,
    address: Address,
    data: Vec<u8>,
    /// Where connections that are handed over arrive, if there are any.
    arrivals: Option<AsyncFd<Arrivals>>,
    orders: UnboundedSender<Command>,
    claims: Claims,
    stage: watch::Receiver<Stage>,
    cordoned: watch::Receiver<bool>,
}

impl Shared {
    /// A share, and the socket itself if the kernel shares it.
    pub(crate) fn new(
        share: Share,
        orders: UnboundedSender<Command>,
        stage: watch::Receiver<Stage>,
        cordoned: watch::Receiver<bool>,
    ) -> io::Result<(Self, Option<OwnedFd>)> {
        let Share { listener, address, arrivals, socket, data, claims } = share;
        let arrivals = arrivals.map(watch_fd).transpose()?;
        let shared = Self { listener, address, data, arrivals, orders, claims, stage, cordoned };
        Ok((shared, socket))
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The next connection that the primary hands over.
    pub(crate) async fn next(&self) -> io::Result<Arrived> {
        self.unless_leaving(self.arrived()).await
    }

    /// The next connection where this process has the socket: one that it accepts itself, or one
    /// that the primary hands over.
    pub(crate) async fn next_or<T>(
        &self,
        accept: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Arrival<T>> {
        let either = async {
            tokio::select! {
                biased;
                handed_over = self.arrived() => handed_over.map(Arrival::HandedOver),
                accepted = self.unless_cordoned(accept) => accepted.map(Arrival::Accepted),
            }
        };
        self.unless_leaving(either).await
    }

    async fn arrived(&self) -> io::Result<Arrived> {
        match &self.arrivals {
            Some(arrivals) => arrivals.async_io(Interest::READABLE, Arrivals::receive).await,
            None => pending().await,
        }
    }

    /// Waits for something, but not in a worker that is leaving.
    async fn unless_leaving<T>(
        &self,
        something: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut stage = self.stage.clone();
        tokio::select! {
            biased;
            // A driver that is gone has ended with its runtime.
            _ = stage.wait_for(|it| *it >= Stage::Leaving) => Err(closed()),
            it = something => it,
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
        drop(self.orders.send(Command::Close { listener: self.listener }));
    }
}

/// A connection, in one of two ways.
#[derive(Debug)]
pub(crate) enum Arrival<T> {
    /// This process has accepted it.
    Accepted(T),
    /// It comes from the primary.
    HandedOver(Arrived),
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
