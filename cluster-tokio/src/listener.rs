//! Listeners: shared with the other workers, or this process's own.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use cluster_sys::{Address, Claim, Connection, Grant};
use tokio::net::{self, TcpStream, ToSocketAddrs, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::order::WorkerOrder;
use crate::role::this_worker;
use crate::tracked::Tracked;

/// A TCP listener: in a worker, one that the workers of its cluster share; elsewhere, this
/// process's own.
///
/// Dropped, it is closed. Connections that were on their way to it go to other workers.
#[derive(Debug)]
pub struct TcpListener {
    pub(crate) source: Source<net::TcpListener>,
}

impl TcpListener {
    /// Listens on an address. In a worker this asks the primary, as
    /// [`ThisWorker::listen`](crate::ThisWorker::listen) does; in any other process it binds,
    /// as [`tokio::net::TcpListener::bind`] does. So a server joins a cluster with one changed
    /// line. (Node: `server.listen`.)
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        match this_worker().map_err(io::Error::other)? {
            Some(worker) => worker.listen(address).await,
            None => Ok(Self { source: Source::Own(net::TcpListener::bind(address).await?) }),
        }
    }

    /// The next connection.
    ///
    /// It does not keep a worker from leaving: see [`accept_tracked`](Self::accept_tracked).
    ///
    /// # Errors
    ///
    /// Those of accept(2) and, when this worker is leaving, one of the kind
    /// [`io::ErrorKind::NotConnected`] that holds a [`ListenerClosed`]: end the loop then.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, _claim, peer) = self.next().await?;
        Ok((stream, peer))
    }

    /// The next connection, as a stream that a worker that leaves gracefully waits for.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept_tracked(&self) -> io::Result<(Tracked<TcpStream>, SocketAddr)> {
        let (stream, claim, peer) = self.next().await?;
        Ok((Tracked::new(stream, claim), peer))
    }

    /// Where it listens, with the real port if port 0 was asked for.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2), for a listener of this process's own.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.source {
            Source::Own(listener) => listener.local_addr(),
            Source::Shared(Shared { address: Address::Tcp(address), .. }) => Ok(*address),
            Source::Shared(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    pub(crate) const fn shared(shared: Shared) -> Self {
        Self { source: Source::Shared(shared) }
    }

    async fn next(&self) -> io::Result<(TcpStream, Option<Claim>, SocketAddr)> {
        match &self.source {
            Source::Own(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((stream, None, peer))
            }
            Source::Shared(shared) => {
                let (socket, peer, claim) = shared.next().await?;
                let stream = TcpStream::from_std(socket.into())?;
                let peer = peer.map_or_else(|| stream.peer_addr(), Ok)?;
                Ok((stream, Some(claim), peer))
            }
        }
    }
}

/// A listener on a unix socket: in a worker, one that the workers of its cluster share;
/// elsewhere, this process's own.
///
/// Dropped, it is closed. Connections that were on their way to it go to other workers. The
/// file of a shared one is removed by the primary with its last sharer; one's own is left to
/// whoever bound it, as [`tokio::net::UnixListener`] does.
#[derive(Debug)]
pub struct UnixListener {
    pub(crate) source: Source<net::UnixListener>,
}

impl UnixListener {
    /// Listens on a path. In a worker this asks the primary, as
    /// [`ThisWorker::listen_unix`](crate::ThisWorker::listen_unix) does; in any other process
    /// it binds.
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the path is given up again.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        match this_worker().map_err(io::Error::other)? {
            Some(worker) => worker.listen_unix(path).await,
            None => Ok(Self { source: Source::Own(net::UnixListener::bind(path)?) }),
        }
    }

    /// The next connection. See [`TcpListener::accept`].
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::accept`].
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.next().await?.0)
    }

    /// The next connection, as a stream that a worker that leaves gracefully waits for.
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::accept`].
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept_tracked(&self) -> io::Result<Tracked<UnixStream>> {
        let (stream, claim) = self.next().await?;
        Ok(Tracked::new(stream, claim))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2), for a listener of this process's own.
    pub fn local_addr(&self) -> io::Result<net::unix::SocketAddr> {
        match &self.source {
            Source::Own(listener) => listener.local_addr(),
            Source::Shared(shared) => {
                cluster_sys::unix_socket_addr(&shared.address).map(Into::into)
            }
        }
    }

    pub(crate) const fn shared(shared: Shared) -> Self {
        Self { source: Source::Shared(shared) }
    }

    async fn next(&self) -> io::Result<(UnixStream, Option<Claim>)> {
        match &self.source {
            Source::Own(listener) => Ok((listener.accept().await?.0, None)),
            Source::Shared(shared) => {
                let (socket, _, claim) = shared.next().await?;
                Ok((UnixStream::from_std(socket.into())?, Some(claim)))
            }
        }
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

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Source<L> {
    Own(L),
    Shared(Shared),
}

/// A share in a listener of the primary.
#[derive(Debug)]
pub(crate) struct Shared {
    grant: Grant,
    address: Address,
    orders: UnboundedSender<WorkerOrder>,
}

impl Shared {
    pub(crate) fn new(grant: Grant, orders: UnboundedSender<WorkerOrder>) -> Self {
        Self { address: grant.address.clone(), grant, orders }
    }

    async fn next(&self) -> io::Result<(OwnedFd, Option<SocketAddr>, Claim)> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, ListenerClosed);
        let (waiter, connection) = oneshot::channel();
        let wish = WorkerOrder::Accept(self.grant.listener, waiter);
        self.orders.send(wish).map_err(|_| closed())?;
        let connection: Connection = connection.await.map_err(|_| closed())?;
        Ok(connection.accept())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A driver that is gone has closed everything.
        drop(self.orders.send(WorkerOrder::Close(self.grant.listener)));
    }
}
