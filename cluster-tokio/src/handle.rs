//! Handles: sockets and other descriptors that travel with messages.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use cluster_sys::{HandleKind, Message, set_nonblocking};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

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
        let kind = HandleKind::of(&handle)?;
        if kind != HandleKind::Other {
            set_nonblocking(&handle)?;
        }
        Ok(match kind {
            HandleKind::TcpStream => Self::TcpStream(TcpStream::from_std(handle.into())?),
            HandleKind::TcpListener => Self::TcpListener(TcpListener::from_std(handle.into())?),
            HandleKind::UdpSocket => Self::UdpSocket(UdpSocket::from_std(handle.into())?),
            HandleKind::UnixStream => Self::UnixStream(UnixStream::from_std(handle.into())?),
            HandleKind::UnixListener => Self::UnixListener(UnixListener::from_std(handle.into())?),
            HandleKind::UnixDatagram => Self::UnixDatagram(UnixDatagram::from_std(handle.into())?),
            _ => Self::Other(handle),
        })
    }

    /// The descriptor, which the runtime lets go of; a socket stays non-blocking.
    ///
    /// # Errors
    ///
    /// If the runtime cannot let go of the socket. It is closed then.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::TcpStream(socket) => socket.into_std()?.into(),
            Self::TcpListener(socket) => socket.into_std()?.into(),
            Self::UdpSocket(socket) => socket.into_std()?.into(),
            Self::UnixStream(socket) => socket.into_std()?.into(),
            Self::UnixListener(socket) => socket.into_std()?.into(),
            Self::UnixDatagram(socket) => socket.into_std()?.into(),
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

/// The descriptors of handles, to be sent.
pub(crate) fn descriptors(
    handles: impl IntoIterator<Item = impl Into<Handle>>,
) -> io::Result<Vec<OwnedFd>> {
    handles.into_iter().map(|handle| handle.into().into_descriptor()).collect()
}
