//! Listening sockets and the connections that they accept.

mod accept;
mod group;
mod name;
mod spread;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use cluster_core::{Address, ListenSpec, UnixName};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use accept::{accept4, queue_length};
use name::{SocketFile, fitting};

pub use accept::{AcceptError, Accepted};
pub use group::ListenGroup;

/// A listening stream socket: non-blocking and close-on-exec.
///
/// It can be polled through [`AsFd`]: readable when a connection waits.
///
/// Closing it (by [`close`](Self::close) or by dropping it) also removes the socket file that
/// it made, if the very same file is still there. Only the process that bound it does so: a
/// forked child that drops its copy removes nothing. Node: the primary creates and unlinks.
#[derive(Debug)]
pub struct ListenSocket {
    // Above `socket`, so that the file goes first, as in Node: nobody finds a name that refuses.
    file: Option<SocketFile>,
    socket: Socket,
    address: Address,
}

impl ListenSocket {
    /// Makes a socket, binds it and listens.
    ///
    /// TCP: `SO_REUSEADDR` is set, and an IPv6 socket takes IPv4 connections too unless the spec
    /// says otherwise (as in Node, which inherits both from libuv). UDP: bound, which is all. Unix:
    /// a name that begins with a NUL byte is an abstract one; any other is a path. A file that is
    /// in the way is never removed, not even a socket nobody listens on (`EADDRINUSE`, as in Node).
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: a unix name that is empty or too long, or a path with a NUL byte.
    /// - Those of socket(2), bind(2) and listen(2) as they are: `EADDRINUSE`, `EACCES`,
    ///   `EADDRNOTAVAIL`, `ENOENT`, `EMFILE`.
    ///
    /// Nothing stays behind then, neither descriptor nor file.
    pub fn bind(spec: &ListenSpec) -> io::Result<Self> {
        Self::bind_as(spec, false)
    }

    /// Binds with `SO_REUSEPORT`: other sockets that have set it may bind the same address, and
    /// the kernel spreads what comes over them.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_reusing_port(spec: &ListenSpec) -> io::Result<Self> {
        Self::bind_as(spec, true)
    }

    /// A worker's copy of a socket that its primary has bound to `address`, and listens with.
    pub fn lent(socket: OwnedFd, address: Address) -> Self {
        Self { file: None, socket: socket.into(), address }
    }

    /// Where it listens: as asked for, but with the real port instead of port 0.
    pub const fn local_address(&self) -> &Address {
        &self.address
    }

    /// Takes the next connection that waits: accept4(2) with `SOCK_NONBLOCK | SOCK_CLOEXEC`,
    /// repeated while signals interrupt it.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`], which says what to do next.
    pub fn accept(&self) -> Result<Accepted, AcceptError> {
        loop {
            match accept4(&self.socket) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(AcceptError::from_errno(errno)),
                Ok((socket, peer)) => return Ok(Accepted { socket, peer: peer.as_socket() }),
            }
        }
    }

    /// Takes the next connection, as [`accept`](Self::accept) does, if one waits. That is looked
    /// for first: it pays where attempts are often in vain, because others accept from the same
    /// socket, or because it is tried until there is nothing more.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none waits, `ConnectionAborted` if it was gone before it could be taken;
    /// else those of accept4(2).
    pub fn accept_waiting(&self) -> io::Result<Accepted> {
        if !self.has_waiting() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.accept().map_err(|error| match error {
            // Another process was quicker.
            AcceptError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            AcceptError::Gone => io::ErrorKind::ConnectionAborted.into(),
            AcceptError::Exhausted(error) | AcceptError::Broken(error) => error,
        })
    }

    /// Whoever has a copy can make it a blocking socket for all; this undoes it.
    pub(crate) fn stay_nonblocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// Whether a connection waits, by one poll(2): that costs a tenth of an accept4(2) that finds
    /// none, for which the kernel makes a socket first.
    pub fn has_waiting(&self) -> bool {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // What fails is for accept4(2) to tell.
        poll(&mut polled, PollTimeout::ZERO) != Ok(0)
    }

    /// How many connections wait in a TCP socket.
    pub(crate) fn queued(&self) -> io::Result<u32> {
        Ok(queue_length(&self.socket)?)
    }

    /// Closes it, and removes the socket file that it made.
    ///
    /// A file that is gone, or is another one now, is left as it is and no error.
    ///
    /// # Errors
    ///
    /// Those of unlink(2), such as `EACCES`. The socket is closed all the same.
    pub fn close(mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |mut file| file.remove())
    }

    /// Its socket alone. A file that it made stays.
    pub fn into_socket(self) -> OwnedFd {
        if let Some(file) = self.file {
            file.leave();
        }
        self.socket.into()
    }

    /// Finds out where an address could be bound, with the real port instead of port 0, by binding
    /// and not listening.
    fn probe(spec: &ListenSpec) -> io::Result<Address> {
        let (kind, asked) = match &spec.address {
            Address::Tcp(address) => (Type::STREAM, *address),
            Address::Udp(address) => (Type::DGRAM, *address),
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        let socket = new_socket(Domain::for_address(asked), kind)?;
        if kind == Type::STREAM || spec.reuse_address {
            socket.set_reuse_address(true)?;
        }
        let found = bind_inet(&socket, asked, spec, false)?;
        Ok(if kind == Type::STREAM { Address::Tcp(found) } else { Address::Udp(found) })
    }

    fn bind_as(spec: &ListenSpec, reuse_port: bool) -> io::Result<Self> {
        match &spec.address {
            Address::Tcp(address) => Self::bind_tcp(*address, spec, reuse_port),
            Address::Udp(address) => Self::bind_udp(*address, spec, reuse_port),
            Address::Unix(name) => Self::bind_unix(name, spec),
            Address::Inherited(number) => Self::inherit(*number, spec),
            _ => Err(invalid("an address of a kind that this system does not know".into())),
        }
    }

    fn bind_tcp(address: SocketAddr, spec: &ListenSpec, reuse_port: bool) -> io::Result<Self> {
        let socket = new_socket(Domain::for_address(address), Type::STREAM)?;
        socket.set_reuse_address(true)?;
        let bound = bind_inet(&socket, address, spec, reuse_port)?;
        socket.listen(backlog_number(spec.backlog))?;
        Ok(Self { file: None, socket, address: Address::Tcp(bound) })
    }

    fn bind_udp(address: SocketAddr, spec: &ListenSpec, reuse_port: bool) -> io::Result<Self> {
        let socket = new_socket(Domain::for_address(address), Type::DGRAM)?;
        if spec.reuse_address {
            socket.set_reuse_address(true)?;
        }
        let bound = bind_inet(&socket, address, spec, reuse_port)?;
        Ok(Self { file: None, socket, address: Address::Udp(bound) })
    }

    fn bind_unix(name: &UnixName, spec: &ListenSpec) -> io::Result<Self> {
        let address = fitting(name)?;
        let socket = new_socket(Domain::UNIX, Type::STREAM)?;
        socket.bind(&address)?;
        let file = if name.0[0] == 0 { None } else { SocketFile::just_made(name) };
        // From here on an error removes the file by dropping this.
        let bound = Self { file, socket, address: Address::Unix(name.clone()) };
        if let Some(file) = &bound.file {
            file.open_to_all(spec.readable_all, spec.writable_all)?;
        }
        bound.socket.listen(backlog_number(spec.backlog))?;
        Ok(bound)
    }

    /// Takes a copy of a descriptor of this process, which its parent may have opened for it.
    fn inherit(number: u32, spec: &ListenSpec) -> io::Result<Self> {
        let number = RawFd::try_from(number).map_err(|_| Errno::EBADF)?;
        // SAFETY: the number may be one of no descriptor, and then this is an error. It is
        // borrowed for one system call.
        let copy = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?;
        let socket = Socket::from(copy);
        let address = socket.local_addr()?;
        let address = match (socket.r#type()?, address.as_socket()) {
            (Type::DGRAM, Some(address)) => Address::Udp(address),
            (Type::STREAM, address) => {
                // One that listens already keeps its queue.
                socket.listen(backlog_number(spec.backlog))?;
                address.map_or_else(|| unix_name_of(&socket), |it| Ok(Address::Tcp(it)))?
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        // Last: what is no such socket stays as it is, for it is somebody else's.
        socket.set_nonblocking(true)?;
        Ok(Self { file: None, socket, address })
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ListenSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn new_socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking().cloexec(), None)
}

/// Binds, and tells the address with the real port.
fn bind_inet(
    socket: &Socket,
    address: SocketAddr,
    spec: &ListenSpec,
    reuse_port: bool,
) -> io::Result<SocketAddr> {
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(spec.ipv6_only)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.local_addr()?.as_socket().unwrap_or(address))
}

/// The name of a bound unix socket.
fn unix_name_of(socket: &Socket) -> io::Result<Address> {
    let address = socket.local_addr()?;
    let path = address.as_pathname().map(|path| path.as_os_str().as_bytes().to_vec());
    let name = path.or_else(|| {
        // An abstract name begins with a NUL byte, which is not part of it for others.
        let name = address.as_abstract_namespace()?;
        Some([&[0], name].concat())
    });
    Ok(Address::Unix(UnixName(name.unwrap_or_default())))
}

/// listen(2) takes an `int` and caps it itself (`net.core.somaxconn`).
fn backlog_number(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlogs_beyond_an_int_are_capped() {
        assert_eq!(backlog_number(511), 511);
        assert_eq!(backlog_number(u32::MAX), i32::MAX);
    }
}
