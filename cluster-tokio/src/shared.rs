//! A worker's share in a listener of the primary.

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use cluster_sys::socket::ListenSocket;
use cluster_sys::worker::{Command, Share};
use cluster_sys::{Address, Arrivals, Arrived, Claims, ListenerId};
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
    /// The socket that this worker accepts from itself, if it does.
    socket: Option<AsyncFd<ListenSocket>>,
    orders: UnboundedSender<Command>,
    claims: Claims,
    stage: watch::Receiver<Stage>,
    cordoned: watch::Receiver<bool>,
    /// How many times a connection of either kind was waited for.
    accepts: AtomicU32,
}

impl Shared {
    /// A share, and the socket itself if it is one for datagrams.
    pub(crate) fn new(
        share: Share,
        orders: UnboundedSender<Command>,
        stage: watch::Receiver<Stage>,
        cordoned: watch::Receiver<bool>,
    ) -> io::Result<(Box<Self>, Option<OwnedFd>)> {
        let Share { listener, address, arrivals, socket, data, claims } = share;
        let (datagrams, socket) = match address {
            Address::Udp(_) => (socket, None),
            _ => (None, socket.map(|it| ListenSocket::lent(it, address.clone()))),
        };
        let mut shared = Self {
            listener,
            address,
            data,
            arrivals: None,
            socket: None,
            orders,
            claims,
            stage,
            cordoned,
            accepts: AtomicU32::new(0),
        };
        // If this fails, the share is dropped, and so given up.
        shared.arrivals = arrivals.map(watch_fd).transpose()?;
        shared.socket = socket.map(watch_fd).transpose()?;
        Ok((Box::new(shared), datagrams))
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The next connection: one that the primary hands over, or one that this worker accepts
    /// itself, where it has the socket.
    pub(crate) async fn next(&self) -> io::Result<Arrived> {
        self.unless_leaving(async {
            match self.either().await {
                // There will be none any more: that is told when it is known why.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => pending().await,
                it => it,
            }
        })
        .await
    }

    async fn either(&self) -> io::Result<Arrived> {
        let Some(socket) = &self.socket else { return self.arrived().await };
        let accept = |socket: &ListenSocket| self.claims.accept(socket);
        let accepted = self.unless_cordoned(socket.async_io(Interest::READABLE, accept));
        // Nearly all are accepted here; but nobody who was handed over waits for long while others
        // keep coming.
        match self.accepts.fetch_add(1, Ordering::Relaxed) % ACCEPTS_IN_A_ROW {
            0 => tokio::select! { biased; it = self.arrived() => it, it = accepted => it },
            _ => tokio::select! { biased; it = accepted => it, it = self.arrived() => it },
        }
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
        let leaving = async {
            // A driver that is gone has ended with its runtime.
            drop(self.stage.clone().wait_for(|it| *it >= Stage::Leaving).await);
        };
        let leaves = || *self.stage.borrow() >= Stage::Leaving;
        unless(leaves, leaving, something).await.unwrap_or_else(|| Err(closed()))
    }

    /// Waits for something, and does not while the worker is cordoned off.
    async fn unless_cordoned<T>(
        &self,
        something: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut something = pin!(something);
        let is_cordoned = || *self.cordoned.borrow();
        loop {
            if is_cordoned() {
                self.cordoned.clone().wait_for(|it| !it).await.map_err(|_| closed())?;
            }
            let cordoned = async {
                // A driver that is gone cordons nobody off any more.
                if self.cordoned.clone().wait_for(|it| *it).await.is_err() {
                    pending::<()>().await;
                }
            };
            if let Some(it) = unless(is_cordoned, cordoned, something.as_mut()).await {
                return it;
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A driver that is gone has closed everything.
        drop(self.orders.send(Command::Close { listener: self.listener }));
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

/// What `something` comes to, unless `stops` holds before; `stop` waits for that.
async fn unless<T>(
    stops: impl Fn() -> bool,
    stop: impl Future<Output = ()>,
    something: impl Future<Output = T>,
) -> Option<T> {
    let (mut stop, mut something) = (pin!(stop), pin!(something));
    poll_fn(|context| {
        if stops() {
            return Poll::Ready(None);
        }
        // Under load it is there at once, and then nobody needs to listen for the other.
        match something.as_mut().poll(context) {
            Poll::Ready(it) => Poll::Ready(Some(it)),
            Poll::Pending => stop.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}

/// Of so many connections, one that was handed over comes first if there is one.
const ACCEPTS_IN_A_ROW: u32 = 16;
