//! One end of the socket pair between a primary and a worker.
//!
//! A channel moves bytes and descriptors and knows nothing of frames. It never blocks and
//! never raises `SIGPIPE`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};

use crate::cmsg::{self, Received};

/// The most descriptors that one [`Channel::send`] takes and one [`Channel::receive`] gives
/// (unix(7): `SCM_MAX_FD`).
pub const HANDLES_MAX: usize = 253;

/// One end of a connected unix stream socket: non-blocking and close-on-exec.
///
/// It can be polled through [`AsFd`]: readable when [`receive`](Self::receive) has something
/// to say (bytes, the end, or an error), writable when [`send`](Self::send) has room.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Makes a pair: our end, and the end for a child.
    ///
    /// Both are close-on-exec from birth. The child's end is still blocking, as a program
    /// expects of a descriptor it inherits; [`Channel::adopt`] makes a channel of it.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2), above all `EMFILE` and `ENFILE` when there are no descriptors
    /// left. Nothing stays open then.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        set_nonblocking(ours.as_fd())?;
        Ok((Self { socket: ours }, theirs))
    }

    /// Makes a channel of a connected unix stream socket, by setting `FD_CLOEXEC` and
    /// `O_NONBLOCK` on it.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2). The descriptor is closed then.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let flags = FdFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFD)?);
        fcntl(&socket, FcntlArg::F_SETFD(flags | FdFlag::FD_CLOEXEC))?;
        set_nonblocking(socket.as_fd())?;
        Ok(Self { socket })
    }

    /// Sends what fits of `bytes`, and with its first byte all of `handles`; answers how many
    /// bytes went.
    ///
    /// One sendmsg(2), without heap allocation. When it answers `Ok`, at least one byte and
    /// therefore every handle is on its way: the next call must go on behind these bytes and
    /// without these handles. When it fails, nothing was sent.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: the channel is full.
    /// - `InvalidInput`: more than [`HANDLES_MAX`] handles, or handles without a byte to carry
    ///   them (the kernel would lose them silently).
    /// - Others of sendmsg(2) as they are: `EPIPE` and `ECONNRESET` when the peer is gone,
    ///   `ETOOMANYREFS` when too many descriptors are in flight, `ENOBUFS`, `ENOMEM`.
    pub fn send(&self, bytes: &[u8], handles: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if handles.len() > HANDLES_MAX {
            return Err(invalid("more handles than one message takes"));
        }
        match (bytes.is_empty(), handles.is_empty()) {
            (true, true) => Ok(0),
            (true, false) => Err(invalid("handles need a byte to ride on")),
            (false, _) => cmsg::send(self.socket.as_fd(), bytes, handles),
        }
    }

    /// Receives bytes into `buffer`, appends descriptors that came with them to `handles`, and
    /// answers how many bytes came; `Ok(0)` is the end.
    ///
    /// One recvmsg(2). Descriptors are owned and close-on-exec at once. A peer that closed
    /// while bytes of ours were unread (`ECONNRESET`) has ended, too: what it sent before was
    /// received before.
    ///
    /// The kernel may join bytes that were sent *without* handles in front of a message with
    /// handles into one receive; it never joins anything behind such a message. So the order
    /// of handles can be trusted, the position of their bytes cannot.
    ///
    /// # Errors
    ///
    /// See [`ReceiveError`]. Whatever the error, `handles` is as it was, but for
    /// [`ReceiveError::Truncated`].
    pub fn receive(
        &self,
        buffer: &mut [u8],
        handles: &mut Vec<OwnedFd>,
    ) -> Result<usize, ReceiveError> {
        if buffer.is_empty() {
            return Err(ReceiveError::Io(invalid(
                "an empty buffer cannot tell bytes from the end",
            )));
        }
        match cmsg::receive(self.socket.as_fd(), buffer, handles) {
            Ok(Received { bytes, truncated: true }) => Err(ReceiveError::Truncated { bytes }),
            Ok(received) => Ok(received.bytes),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset => Ok(0),
                io::ErrorKind::WouldBlock => Err(ReceiveError::WouldBlock),
                _ => Err(ReceiveError::Io(error)),
            },
        }
    }

    /// Tells the peer that nothing more will come: it reads the end behind what was sent.
    /// Receiving goes on.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(shutdown(self.socket.as_raw_fd(), Shutdown::Write)?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

/// Why [`Channel::receive`] did not receive all, or nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing has come yet.
    #[error("nothing has come on the channel yet")]
    WouldBlock,
    /// Descriptors came that this process has no room for (`EMFILE`; unix(7): `MSG_CTRUNC`).
    ///
    /// So many bytes and the first of the descriptors were received; the others are lost.
    #[error("descriptors on the channel were lost: this process has no room for them")]
    Truncated {
        /// How many bytes came.
        bytes: usize,
    },
    /// Any other error of recvmsg(2).
    #[error("cannot receive from the channel")]
    Io(#[source] io::Error),
}

fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
