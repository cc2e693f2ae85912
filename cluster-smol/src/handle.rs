//! Handles: sockets and other descriptors that travel with messages.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::sync::Arc;

use cluster_sys::{HandleKind, Message};
use smol::Async;
use smol::net::unix::{UnixDatagram, UnixListener, UnixStream};
use smol::net::{TcpListener, TcpStream, UdpSocket};

/// A descriptor on its way from one process to the other.
///
/// Sending gives it away, unless it is a [copy](Self::copy_of).
#[derive(Debug)]
#[non_exhaustive]
pub enum Handle {
    /// A TCP connection.
    TcpStream(TcpStream),
    /// A TCP listener.
    TcpListener(TcpListener),
    /// A UDP socket.
    UdpSocket(UdpSocket),
    /// A unix stream connection.
    UnixStream(UnixStream),
    /// A unix stream listener.
    UnixListener(UnixListener),
    /// A unix datagram socket.
    UnixDatagram(UnixDatagram),
    /// Any other descriptor.
    Other(OwnedFd),
}

impl Handle {
    /// A copy of a descriptor: the sender keeps its own, and both use the same socket or file.
    /// (Node: `keepOpen`.)
    ///
    /// # Errors
    ///
    /// Those of fcntl(2), such as `EMFILE`.
    pub fn copy_of(handle: &impl AsFd) -> io::Result<Self> {
        Ok(Self::Other(handle.as_fd().try_clone_to_owned()?))
    }

    /// Takes the next handle that came with a message, as what it is. `None` if there is none
    /// (any more). Sockets become non-blocking.
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the socket. It is closed then.
    pub fn take_from(message: &Message) -> io::Result<Option<Self>> {
        message.take_handle().map(Self::adopt).transpose()
    }

    /// A descriptor as what it is. A socket becomes non-blocking.
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the socket. It is closed then.
    pub fn adopt(handle: OwnedFd) -> io::Result<Self> {
        Ok(match HandleKind::of(&handle)? {
            HandleKind::TcpStream => Self::TcpStream(handle.try_into()?),
            HandleKind::TcpListener => Self::TcpListener(handle.try_into()?),
            HandleKind::UdpSocket => Self::UdpSocket(handle.try_into()?),
            HandleKind::UnixStream => Self::UnixStream(handle.try_into()?),
            HandleKind::UnixListener => Self::UnixListener(handle.try_into()?),
            HandleKind::UnixDatagram => {
                Self::UnixDatagram(net::UnixDatagram::from(handle).try_into()?)
            }
            _ => Self::Other(handle),
        })
    }

    /// The descriptor, which the runtime lets go of; a socket stays non-blocking. If clones of
    /// the socket are in use, it is a copy, and they go on.
    ///
    /// # Errors
    ///
    /// If the runtime cannot let go of the socket. It is closed then.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::TcpStream(socket) => let_go(socket)?,
            Self::TcpListener(socket) => let_go(socket)?,
            Self::UdpSocket(socket) => let_go(socket)?,
            Self::UnixStream(socket) => let_go(socket)?,
            Self::UnixListener(socket) => let_go(socket)?,
            Self::UnixDatagram(socket) => let_go(socket)?,
            Self::Other(handle) => handle,
        })
    }
}

impl From<TcpStream> for Handle {
    fn from(socket: TcpStream) -> Self {
        Self::TcpStream(socket)
    }
}

impl From<TcpListener> for Handle {
    fn from(socket: TcpListener) -> Self {
        Self::TcpListener(socket)
    }
}

impl From<UdpSocket> for Handle {
    fn from(socket: UdpSocket) -> Self {
        Self::UdpSocket(socket)
    }
}

impl From<UnixStream> for Handle {
    fn from(socket: UnixStream) -> Self {
        Self::UnixStream(socket)
    }
}

impl From<UnixListener> for Handle {
    fn from(socket: UnixListener) -> Self {
        Self::UnixListener(socket)
    }
}

impl From<UnixDatagram> for Handle {
    fn from(socket: UnixDatagram) -> Self {
        Self::UnixDatagram(socket)
    }
}

impl From<OwnedFd> for Handle {
    fn from(handle: OwnedFd) -> Self {
        Self::Other(handle)
    }
}

/// Takes a socket from the runtime. If clones of it are in use, this is a copy, and they go on.
pub(crate) fn let_go<T: AsFd + Into<OwnedFd>>(
    socket: impl Into<Arc<Async<T>>>,
) -> io::Result<OwnedFd> {
    match Arc::try_unwrap(socket.into()) {
        Ok(socket) => Ok(socket.into_inner()?.into()),
        Err(socket) => socket.as_fd().try_clone_to_owned(),
    }
}

/// The descriptors of handles, to be sent.
pub(crate) fn descriptors(
    handles: impl IntoIterator<Item = impl Into<Handle>>,
) -> io::Result<Vec<OwnedFd>> {
    handles.into_iter().map(|handle| handle.into().into_descriptor()).collect()
}
