//! Listening sockets and the connections that they accept.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::process;

use cluster_core::{Address, ListenSpec, UnixName};
use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};

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
    /// TCP: `SO_REUSEADDR` is set, and an IPv6 socket takes IPv4 connections too (as in Node,
    /// which inherits both from libuv). Unix: a name that begins with a NUL byte is an abstract
    /// one; any other is a path. A file that is in the way is never removed, not even a socket
    /// nobody listens on (`EADDRINUSE`, as in Node).
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: a unix name that is empty or too long, or a path with a NUL byte.
    /// - Those of socket(2), bind(2) and listen(2) as they are: `EADDRINUSE`, `EACCES`,
    ///   `EADDRNOTAVAIL`, `ENOENT`, `EMFILE`.
    ///
    /// Nothing stays behind then, neither descriptor nor file.
    pub fn bind(spec: &ListenSpec) -> io::Result<Self> {
        match &spec.address {
            Address::Tcp(address) => Self::bind_tcp(*address, spec.backlog),
            Address::Unix(name) => Self::bind_unix(name, spec.backlog),
            _ => Err(invalid("an address of a kind that this system does not know".into())),
        }
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

    fn bind_tcp(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket = new_socket(Domain::for_address(address))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(backlog_number(backlog))?;
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { file: None, socket, address: Address::Tcp(bound) })
    }

    fn bind_unix(name: &UnixName, backlog: u32) -> io::Result<Self> {
        let address = unix_address(name)?;
        let socket = new_socket(Domain::UNIX)?;
        socket.bind(&address)?;
        let file = if name.0[0] == 0 { None } else { SocketFile::just_made(name) };
        // From here on an error removes the file by dropping this.
        let bound = Self { file, socket, address: Address::Unix(name.clone()) };
        bound.socket.listen(backlog_number(backlog))?;
        Ok(bound)
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection, just accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket: non-blocking and close-on-exec.
    pub socket: OwnedFd,
    /// Who connected; `None` on a unix socket, where clients have no useful name.
    pub peer: Option<SocketAddr>,
}

/// Why [`ListenSocket::accept`] gave no connection.
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
    fn from_errno(errno: Errno) -> Self {
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

/// The file of a bound unix socket, known by its inode. Dropping it removes the file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The process that bound it.
    owner: u32,
}

impl SocketFile {
    /// Looks at the file that bind(2) has just made; `None` if somebody removed it already.
    fn just_made(name: &UnixName) -> Option<Self> {
        let path = Path::new(OsStr::from_bytes(&name.0));
        // Absolute, so that it is found again after a chdir. Without a working directory to start
        // from, the path as given is as good as it gets.
        let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = fs::symlink_metadata(&path).ok()?;
        let (device, inode) = (found.dev(), found.ino());
        Some(Self { path, device, inode, owner: process::id() })
    }

    /// Removes it, if it is still ours. The inode cannot have been reused: the socket holds it.
    fn remove(&mut self) -> io::Result<()> {
        if process::id() != self.owner {
            return Ok(());
        }
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => {
                ignore_missing(fs::remove_file(&self.path))
            }
            Ok(_) => Ok(()),
            Err(error) => ignore_missing(Err(error)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        self.remove().unwrap_or_default();
    }
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)
}

/// accept4(2) with the peer's address, in one system call.
fn accept4(socket: &Socket) -> Result<(OwnedFd, SockAddr), Errno> {
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

/// A name that fits into a `sockaddr_un`.
fn unix_address(name: &UnixName) -> io::Result<SockAddr> {
    let bytes = &name.0;
    let is_abstract = bytes.first() == Some(&0);
    // A path is ended by a NUL byte, an abstract name by its length (unix(7)).
    let room = if is_abstract { SUN_PATH_SIZE } else { SUN_PATH_SIZE - 1 };
    if bytes.is_empty() {
        // The kernel would choose an abstract name, which nobody would learn.
        return Err(invalid("the name of a unix socket is empty".into()));
    }
    if !is_abstract && bytes.contains(&0) {
        return Err(invalid("the path of a unix socket contains a NUL byte".into()));
    }
    if bytes.len() > room {
        let length = bytes.len();
        return Err(invalid(format!(
            "the name of a unix socket is {length} bytes long, at most {room} fit: {name}"
        )));
    }
    SockAddr::unix(OsStr::from_bytes(bytes))
}

/// listen(2) takes an `int` and caps it itself (`net.core.somaxconn`).
fn backlog_number(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The size of `sun_path` (unix(7)).
const SUN_PATH_SIZE: usize = 108;

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

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let kind = |name: Vec<u8>| unix_address(&UnixName(name)).map_err(|error| error.kind());
        assert_eq!(kind(vec![]).unwrap_err(), io::ErrorKind::InvalidInput);
        assert_eq!(kind(b"a\0b".to_vec()).unwrap_err(), io::ErrorKind::InvalidInput);
        assert_eq!(kind(vec![b'a'; 108]).unwrap_err(), io::ErrorKind::InvalidInput);
        assert!(kind(vec![b'a'; 107]).is_ok());
        assert!(kind(vec![0; 108]).is_ok());
        assert_eq!(kind(vec![0; 109]).unwrap_err(), io::ErrorKind::InvalidInput);
        let message = unix_address(&UnixName(vec![b'a'; 200])).unwrap_err().to_string();
        assert!(message.contains("200 bytes long, at most 107 fit"), "{message}");
    }

    #[test]
    fn only_the_process_that_bound_it_removes_the_file() {
        let path = std::env::temp_dir().join(format!("cluster-sys-owner-{}", process::id()));
        fs::write(&path, "").unwrap();
        let name = UnixName(path.as_os_str().as_bytes().to_vec());
        let mut file = SocketFile::just_made(&name).unwrap();
        file.owner += 1;
        file.remove().unwrap();
        assert!(path.exists());
        file.owner -= 1;
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn backlogs_beyond_an_int_are_capped() {
        assert_eq!(backlog_number(511), 511);
        assert_eq!(backlog_number(u32::MAX), i32::MAX);
    }
}
