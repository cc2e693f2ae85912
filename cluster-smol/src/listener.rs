//! Listeners: shared with the other workers, or this process's own.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use cluster_sys::{Address, Arrived, Claim, ListenOptions};
use smol::net::unix::{self, UnixStream};
use smol::net::{self, AsyncToSocketAddrs, TcpStream};

use crate::role::this_worker;
use crate::shared::Shared;
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
    /// [`ThisWorker::listen`](crate::ThisWorker::listen) does; in any other process it binds.
    /// So a server joins a cluster with one changed line. (Node: `server.listen`.)
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind(address: impl AsyncToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, &ListenOptions::new()).await
    }

    /// Listens on an address with options. [`ListenOptions::exclusive`] and
    /// [`ListenOptions::reuse_port`] bind for this process alone, in a worker, too.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind_with(
        address: impl AsyncToSocketAddrs,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        if let Some(worker) = this_worker().map_err(io::Error::other)? {
            return worker.listen_with(address, options).await;
        }
        first(address, |address| ready(options.bind(Address::Tcp(address)).and_then(Self::own)))
            .await
    }

    /// The next connection.
    ///
    /// It does not keep a worker from leaving, and counts as finished at once where a schedule
    /// asks how many connections workers have ([`Schedule::counts`](crate::Schedule::counts)): see
    /// [`accept_tracked`](Self::accept_tracked).
    ///
    /// # Errors
    ///
    /// Those of accept(2) and, where the primary hands over, of recvmsg(2). If this process has no
    /// descriptor left (`EMFILE`, `ENFILE`), the connection stays where it is: rest before trying
    /// again.
    ///
    /// One of the kind [`io::ErrorKind::NotConnected`] says that no more will come: it holds a
    /// [`ListenerClosed`](crate::ListenerClosed) when this worker is leaving, and does not when the
    /// primary is gone. End the loop then.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer, _claim) = self.next().await?;
        Ok((stream, peer))
    }

    /// The next connection, as a stream that a worker that leaves gracefully waits for, and that
    /// is one of its [unfinished](crate::Load::open) ones until it is dropped.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept_tracked(&self) -> io::Result<(Tracked<TcpStream>, SocketAddr)> {
        let (stream, peer, claim) = self.next().await?;
        Ok((Tracked::new(stream, claim), peer))
    }

    /// Where it listens, with the real port if port 0 was asked for.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2), for a socket that this process has.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.source {
            Source::Own(listener) => listener.local_addr(),
            Source::Shared(shared) => match shared.address() {
                Address::Tcp(address) => Ok(*address),
                _ => Err(io::ErrorKind::AddrNotAvailable.into()),
            },
        }
    }

    /// What the first worker that listened here gave for all
    /// ([`ListenOptions::data`]); empty outside a cluster.
    pub fn shared_data(&self) -> &[u8] {
        self.source.data()
    }

    pub(crate) fn own(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { source: Source::Own(socket.try_into()?) })
    }

    pub(crate) const fn shared(shared: Box<Shared>) -> Self {
        Self { source: Source::Shared(shared) }
    }

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr, Option<Claim>)> {
        match &self.source {
            Source::Own(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((stream, peer, None))
            }
            Source::Shared(shared) => Self::stream_of(shared.next().await?),
        }
    }

    fn stream_of(
        (socket, peer, claim): Arrived,
    ) -> io::Result<(TcpStream, SocketAddr, Option<Claim>)> {
        let stream = TcpStream::try_from(socket)?;
        let peer = peer.map_or_else(|| stream.peer_addr(), Ok)?;
        Ok((stream, peer, Some(claim)))
    }
}

/// A listener on a unix socket: in a worker, one that the workers of its cluster share;
/// elsewhere, this process's own.
///
/// Dropped, it is closed. Connections that were on their way to it go to other workers. The
/// file of a shared one is removed by the primary with its last sharer; one's own is left to
/// whoever bound it, as [`smol::net::unix::UnixListener`] does.
#[derive(Debug)]
pub struct UnixListener {
    pub(crate) source: Source<unix::UnixListener>,
}

impl UnixListener {
    /// Listens on a path. In a worker this asks the primary, as
    /// [`ThisWorker::listen_unix`](crate::ThisWorker::listen_unix) does; in any other process
    /// it binds. A path that begins with a NUL byte is an abstract name (unix(7)).
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the path is given up again.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_with(path, &ListenOptions::new()).await
    }

    /// Listens on a path with options. [`ListenOptions::exclusive`] binds for this process
    /// alone, in a worker, too.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the path is given up again.
    pub async fn bind_with(path: impl AsRef<Path>, options: &ListenOptions) -> io::Result<Self> {
        match this_worker().map_err(io::Error::other)? {
            Some(worker) => worker.listen_unix_with(path, options).await,
            None => Self::own(options.bind(cluster_sys::unix_address(path.as_ref())?)?),
        }
    }

    /// The next connection. It does not keep a worker from leaving, and counts as finished at
    /// once: see [`TcpListener::accept`].
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

    /// The next connection, as a stream that a worker that leaves gracefully waits for, and that
    /// is one of its [unfinished](crate::Load::open) ones until it is dropped.
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
    /// Those of getsockname(2), for a socket that this process has.
    pub fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        match &self.source {
            Source::Own(listener) => listener.local_addr(),
            Source::Shared(shared) => cluster_sys::unix_socket_addr(shared.address()),
        }
    }

    /// What the first worker that listened here gave for all
    /// ([`ListenOptions::data`]); empty outside a cluster.
    pub fn shared_data(&self) -> &[u8] {
        self.source.data()
    }

    pub(crate) fn own(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { source: Source::Own(socket.try_into()?) })
    }

    pub(crate) const fn shared(shared: Box<Shared>) -> Self {
        Self { source: Source::Shared(shared) }
    }

    async fn next(&self) -> io::Result<(UnixStream, Option<Claim>)> {
        match &self.source {
            Source::Own(listener) => Ok((listener.accept().await?.0, None)),
            Source::Shared(shared) => Self::stream_of(shared.next().await?),
        }
    }

    fn stream_of((socket, _, claim): Arrived) -> io::Result<(UnixStream, Option<Claim>)> {
        Ok((UnixStream::try_from(socket)?, Some(claim)))
    }
}

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Source<L> {
    /// A socket of this process's own.
    Own(L),
    /// A listener of the primary.
    Shared(Box<Shared>),
}

impl<L> Source<L> {
    fn data(&self) -> &[u8] {
        match self {
            Self::Own(_) => &[],
            Self::Shared(shared) => shared.data(),
        }
    }
}

/// The first of the addresses that works, or else the last one's error.
// A future of one type, not `AsyncFn`: whether that one's is `Send` cannot be inferred everywhere.
pub(crate) async fn first<T, F: Future<Output = io::Result<T>>>(
    address: impl AsyncToSocketAddrs,
    listen: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for address in net::resolve(address).await? {
        match listen(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ThisWorker, UdpSocket};

    fn is_for_a_task(_: impl Future<Output: Send> + Send + 'static) {}

    /// It is enough that this compiles.
    #[test]
    fn whatever_listens_may_be_spawned() {
        is_for_a_task(async { TcpListener::bind("127.0.0.1:0").await });
        is_for_a_task(async { UnixListener::bind("/tmp/socket").await });
        is_for_a_task(async { UdpSocket::bind("127.0.0.1:0").await });
        let _: fn(ThisWorker) = |worker| {
            is_for_a_task(async move {
                worker.bind_udp(("localhost", 0)).await?;
                worker.listen("localhost:0").await
            });
        };
    }
}
