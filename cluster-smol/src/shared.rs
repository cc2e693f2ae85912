//! A worker's share in a listener of the primary.

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use cluster_sys::socket::ListenSocket;
use cluster_sys::worker::{Command, Share};
use cluster_sys::{Address, Arrivals, Arrived, Claims, ListenerId};
use smol::Async;
use smol::channel::Sender;
use smol::future::or;

use crate::desk::{Stage, Standing};

/// A share in a listener. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Shared {
    listener: ListenerId,
    address: Address,
    data: Vec<u8>,
    /// Where connections that are handed over arrive, if there are any.
    arrivals: Option<Async<Arrivals>>,
    /// The socket that this worker accepts from itself, if it does.
    socket: Option<Async<ListenSocket>>,
    orders: Sender<Command>,
    claims: Claims,
    standing: Arc<Standing>,
    /// How many times a connection of either kind was waited for.
    accepts: AtomicU32,
}

impl Shared {
    /// A share, and the socket itself if it is one for datagrams.
    pub(crate) fn new(
        share: Share,
        orders: Sender<Command>,
        standing: Arc<Standing>,
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
            standing,
            accepts: AtomicU32::new(0),
        };
        // If this fails, the share is dropped, and so given up.
        shared.arrivals = arrivals.map(Async::new_nonblocking).transpose()?;
        shared.socket = socket.map(Async::new_nonblocking).transpose()?;
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
        let accepted = self.unless_cordoned(socket.read_with(accept));
        // Nearly all are accepted here; but nobody who was handed over waits for long while others
        // keep coming.
        match self.accepts.fetch_add(1, Ordering::Relaxed) % ACCEPTS_IN_A_ROW {
            0 => or(self.arrived(), accepted).await,
            _ => or(accepted, self.arrived()).await,
        }
    }

    async fn arrived(&self) -> io::Result<Arrived> {
        match &self.arrivals {
            Some(arrivals) => arrivals.read_with(Arrivals::receive).await,
            None => pending().await,
        }
    }

    /// Waits for something, but not in a worker that is leaving.
    async fn unless_leaving<T>(
        &self,
        something: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let leaving = self.standing.reached(Stage::Leaving);
        let leaves = || self.standing.has_reached(Stage::Leaving);
        unless(leaves, leaving, something).await.unwrap_or_else(|| Err(closed()))
    }

    /// Waits for something, and does not while the worker is cordoned off.
    async fn unless_cordoned<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = pin!(something);
        loop {
            self.standing.cordoned(false).await;
            let cordoned = self.standing.cordoned(true);
            let is_cordoned = || self.standing.is_cordoned();
            if let Some(it) = unless(is_cordoned, cordoned, something.as_mut()).await {
                return it;
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A driver that is gone has closed everything.
        drop(self.orders.try_send(Command::Close { listener: self.listener }));
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
