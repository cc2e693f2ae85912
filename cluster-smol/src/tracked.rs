//! Work that a worker finishes before it leaves.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cluster_sys::{Claim, Guard};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use smol::net::unix::{self, UnixStream};

/// Something under way: as long as it lives, a worker that leaves gracefully keeps its channel
/// open.
#[derive(Debug)]
#[must_use = "it ends at once when it is dropped"]
pub struct Busy {
    _guard: Guard,
}

impl Busy {
    pub(crate) const fn new(guard: Guard) -> Self {
        Self { _guard: guard }
    }
}

/// A stream that counts as under way until it is dropped: a worker that leaves gracefully waits
/// for it before it closes its channel, as Node waits for the connections of its servers.
///
/// A stream that was never read from nor written to when it is dropped by a worker that leaves
/// goes to another worker instead of being closed. HTTP servers that shut down gracefully close
/// connections that have not sent their first request yet; so their clients notice nothing.
#[derive(Debug)]
pub struct Tracked<S: Stream> {
    /// There until it is dropped.
    stream: Option<S>,
    claim: Option<Claim>,
    touched: bool,
}

impl<S: Stream> Tracked<S> {
    pub(crate) const fn new(stream: S, claim: Option<Claim>) -> Self {
        Self { stream: Some(stream), claim, touched: false }
    }

    /// The stream itself. From now on it counts as used, and is never given to another worker.
    pub fn get_mut(&mut self) -> &mut S {
        self.touched = true;
        self.stream()
    }

    /// The stream alone, which no longer keeps the worker from leaving.
    pub fn into_inner(mut self) -> S {
        self.claim = None;
        self.stream.take().unwrap_or_else(|| unreachable!("there until it is dropped"))
    }

    fn stream(&mut self) -> &mut S {
        self.stream.as_mut().unwrap_or_else(|| unreachable!("there until it is dropped"))
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(Pin::into_inner(self).stream())
    }

    /// Whether another worker may have it as if it were new.
    fn is_for_others(&self) -> bool {
        !self.touched && self.claim.as_ref().is_some_and(Claim::wants_back)
    }
}

impl Tracked<TcpStream> {
    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), TcpStream::peer_addr)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), TcpStream::local_addr)
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.stream.as_ref().map_or(Ok(()), |stream| stream.set_nodelay(nodelay))
    }
}

impl Tracked<UnixStream> {
    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<unix::SocketAddr> {
        self.stream.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), UnixStream::peer_addr)
    }
}

impl<S: Stream> Drop for Tracked<S> {
    fn drop(&mut self) {
        if self.is_for_others()
            && let (Some(stream), Some(claim)) = (self.stream.take(), self.claim.take())
            // A stream that the runtime cannot let go of is closed.
            && let Ok(socket) = stream.into_socket()
        {
            claim.give_back(socket);
        }
    }
}

impl<S: Stream> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.as_mut().pinned().poll_read(context, buffer))?;
        // Whatever was read, or that there is an end, cannot be unread.
        self.touched = true;
        Poll::Ready(Ok(count))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.as_mut().pinned().poll_read_vectored(context, slices))?;
        self.touched = true;
        Poll::Ready(Ok(count))
    }
}

impl<S: Stream> AsyncWrite for Tracked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.touched = true;
        self.pinned().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_for_others() {
            return Poll::Ready(Ok(()));
        }
        self.touched = true;
        self.pinned().poll_close(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.touched = true;
        self.pinned().poll_write_vectored(context, slices)
    }
}

/// The streams of this runtime that can be tracked.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + sealed::IntoSocket {}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

pub(crate) mod sealed {
    use super::{OwnedFd, TcpStream, UnixStream, io};
    use crate::handle::let_go;

    /// Takes a stream from the runtime.
    pub trait IntoSocket {
        /// Its socket, non-blocking.
        fn into_socket(self) -> io::Result<OwnedFd>;
    }

    impl IntoSocket for TcpStream {
        fn into_socket(self) -> io::Result<OwnedFd> {
            let_go(self)
        }
    }

    impl IntoSocket for UnixStream {
        fn into_socket(self) -> io::Result<OwnedFd> {
            let_go(self)
        }
    }
}
