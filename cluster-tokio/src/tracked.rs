//! Work that a worker finishes before it leaves.

use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use cluster_sys::Guard;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Something under way: as long as it lives, a worker that leaves gracefully keeps its channel
/// open.
#[derive(Debug)]
#[must_use = "it ends at once when it is dropped"]
pub struct Busy {
    _guard: Guard,
}

impl Busy {
    pub(crate) fn new(guard: Guard) -> Self {
        Self { _guard: guard }
    }
}

/// A stream that counts as under way until it is dropped: a worker that leaves gracefully waits
/// for it before it closes its channel, as Node waits for the connections of its servers.
#[derive(Debug)]
pub struct Tracked<S> {
    stream: S,
    busy: Option<Busy>,
}

impl<S> Tracked<S> {
    pub(crate) const fn new(stream: S, busy: Option<Busy>) -> Self {
        Self { stream, busy }
    }

    /// The stream, and what counts it.
    pub fn into_parts(self) -> (S, Option<Busy>) {
        (self.stream, self.busy)
    }
}

impl<S> Deref for Tracked<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S> DerefMut for Tracked<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
