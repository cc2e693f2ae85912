//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use socket2::{SockAddr, Socket};

/// A connection, just accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket: non-blocking and close-on-exec.
    pub socket: OwnedFd,
    /// Who connected; `None` on a unix socket, where clients have no useful name.
    pub peer: Option<SocketAddr>,
}

/// Why [`ListenSocket::accept`](crate::socket::ListenSocket::accept) gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// None waits: wait for readiness.
    #[error("no connection waits")]
    WouldBlock,
    /// The next connection was gone before it could be taken: try again at once (accept(2),
    /// "Error handling": errors that were already pending on the new socket).
    #[error("the connection was gone before it was accepted")]
    Gone,
    /// This process or the system is out of descriptors or memory; the connection still waits,
    /// and so does the readiness: rest before trying again.
    #[error("too few resources to accept a connection")]
    Exhausted(#[source] io::Error),
    /// The socket itself does not accept (any more).
    #[error("the socket does not accept")]
    Broken(#[source] io::Error),
}

impl AcceptError {
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Self::WouldBlock,
            // EPERM is a firewall's. EOPNOTSUPP can be a pending error too, and cannot mean "not
            // a stream socket" here.
            Errno::ECONNABORTED
            | Errno::ECONNRESET
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::EPERM
            | Errno::EPROTO
            | Errno::ETIMEDOUT => Self::Gone,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                Self::Exhausted(errno.into())
            }
            other => Self::Broken(other.into()),
        }
    }
}

/// accept4(2) with the peer's address, in one system call.
pub(super) fn accept4(socket: &Socket) -> Result<(OwnedFd, SockAddr), Errno> {
    let mut errno = Errno::UnknownErrno;
    // SAFETY: the kernel writes a valid address and its true length.
    let accepted = unsafe {
        SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = libc::accept4(socket.as_raw_fd(), storage.cast(), length, flags);
            match Errno::result(fd) {
                // SAFETY: accept4 has just made it, and nobody else knows it.
                Ok(fd) => Ok(OwnedFd::from_raw_fd(fd)),
                Err(error) => {
                    errno = error;
                    Err(error.into())
                }
            }
        })
    };
    accepted.map_err(|_| errno)
}

/// How many connections wait to be accepted from a TCP socket: of one that listens, the kernel says
/// so in `tcpi_unacked` (tcp(7): `TCP_INFO`).
pub(super) fn queue_length(socket: &Socket) -> Result<u32, Errno> {
    // SAFETY: it is a structure of numbers, all of which may be 0.
    let mut info = unsafe { std::mem::zeroed::<libc::tcp_info>() };
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `size` bytes to where there are as many.
    Errno::result(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    })?;
    Ok(info.tcpi_unacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_say_what_to_do_next() {
        assert!(matches!(AcceptError::from_errno(Errno::EAGAIN), AcceptError::WouldBlock));
        for errno in [Errno::ECONNABORTED, Errno::EPROTO, Errno::ENETDOWN, Errno::EPERM] {
            assert!(matches!(AcceptError::from_errno(errno), AcceptError::Gone), "{errno}");
        }
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            match AcceptError::from_errno(errno) {
                AcceptError::Exhausted(error) => {
                    assert_eq!(error.raw_os_error(), Some(errno as i32));
                }
                other => panic!("{errno}: {other}"),
            }
        }
        for errno in [Errno::EBADF, Errno::EINVAL, Errno::ENOTSOCK, Errno::EFAULT] {
            assert!(matches!(AcceptError::from_errno(errno), AcceptError::Broken(_)), "{errno}");
        }
    }
}
