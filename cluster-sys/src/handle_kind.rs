//! What a descriptor is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::stat::{SFlag, fstat};
use socket2::{Domain, SockRef, Type};

/// What a descriptor is, as far as an application would use it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandleKind {
    /// A TCP connection.
    TcpStream,
    /// A TCP listener.
    TcpListener,
    /// A UDP socket.
    UdpSocket,
    /// A unix stream connection.
    UnixStream,
    /// A unix stream listener.
    UnixListener,
    /// A unix datagram socket.
    UnixDatagram,
    /// Anything else.
    Other,
}

impl HandleKind {
    /// Asks the operating system what a descriptor is.
    ///
    /// # Errors
    ///
    /// Those of fstat(2) and getsockopt(2); none is known for an open descriptor.
    pub fn of(handle: impl AsFd) -> io::Result<Self> {
        let handle = handle.as_fd();
        if !is_socket(handle)? {
            return Ok(Self::Other);
        }
        let socket = SockRef::from(&handle);
        let inet = [Domain::IPV4, Domain::IPV6].contains(&socket.domain()?);
        let unix = socket.domain()? == Domain::UNIX;
        Ok(match (socket.r#type()?, inet, unix) {
            (Type::STREAM, true, _) if socket.is_listener()? => Self::TcpListener,
            (Type::STREAM, true, _) => Self::TcpStream,
            (Type::DGRAM, true, _) => Self::UdpSocket,
            (Type::STREAM, _, true) if socket.is_listener()? => Self::UnixListener,
            (Type::STREAM, _, true) => Self::UnixStream,
            (Type::DGRAM, _, true) => Self::UnixDatagram,
            _ => Self::Other,
        })
    }
}

/// Makes a socket non-blocking, as a runtime needs it. That is a property of what both ends of
/// a hand-over share: it becomes so for the sender, too.
///
/// # Errors
///
/// Those of fcntl(2).
pub fn set_nonblocking(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    SockRef::from(&socket).set_nonblocking(true)
}

fn is_socket(handle: BorrowedFd<'_>) -> io::Result<bool> {
    let found = SFlag::from_bits_truncate(fstat(handle)?.st_mode);
    Ok(found & SFlag::S_IFMT == SFlag::S_IFSOCK)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn each_kind_is_known() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        assert_eq!(HandleKind::of(&listener)?, HandleKind::TcpListener);
        assert_eq!(HandleKind::of(&stream)?, HandleKind::TcpStream);
        assert_eq!(HandleKind::of(UdpSocket::bind("[::1]:0")?)?, HandleKind::UdpSocket);
        assert_eq!(HandleKind::of(UnixStream::pair()?.0)?, HandleKind::UnixStream);
        assert_eq!(HandleKind::of(UnixDatagram::pair()?.0)?, HandleKind::UnixDatagram);
        assert_eq!(HandleKind::of(File::open("/dev/null")?)?, HandleKind::Other);
        Ok(())
    }
}
