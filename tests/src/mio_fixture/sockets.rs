//! Sockets in the loop.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix;

use cluster_sys::{Arrivals, Claim, HandleKind};
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// What is polled beside the host, by its token.
#[derive(Default)]
pub(super) struct Sockets {
    places: HashMap<Token, Place>,
    added: usize,
}

/// A socket, and what it is for.
pub(super) enum Place {
    /// A socket to accept or receive from, and its number in the script.
    Listener(u8, Acceptor),
    /// Where the primary hands over, and the listener's number in the script.
    Arrivals(u8, Handed),
    /// Somebody who is served.
    Client(Client),
    /// A gate at which this worker waits.
    Gate(TcpStream),
}

impl Sockets {
    pub(super) fn add(&mut self, registry: &Registry, mut place: Place) -> io::Result<Token> {
        self.added += 1;
        let token = Token(self.added);
        registry.register(place.source(), token, Interest::READABLE)?;
        self.places.insert(token, place);
        Ok(token)
    }

    pub(super) fn at(&mut self, token: Token) -> Option<&mut Place> {
        self.places.get_mut(&token)
    }

    /// Closes it, whatever it is. A socket that other processes have, too, is still polled after
    /// its descriptor is closed: it is to be taken out before.
    pub(super) fn close(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.places.remove(&token).map_or(Ok(()), |mut it| registry.deregister(it.source()))
    }
}

impl Place {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Listener(_, acceptor) => acceptor.source(),
            Self::Arrivals(_, handed) => handed,
            Self::Client(client) => &mut client.stream,
            Self::Gate(stream) => stream,
        }
    }
}

/// A socket that is listened on, or that has a UDP address.
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
    Udp(UdpSocket),
}

impl Acceptor {
    /// What is listened on, if it is that.
    pub(super) fn new(socket: OwnedFd, kind: HandleKind) -> Option<Self> {
        Some(match kind {
            HandleKind::TcpListener => Self::Tcp(TcpListener::from_std(socket.into())),
            HandleKind::UnixListener => Self::Unix(UnixListener::from_std(socket.into())),
            HandleKind::UdpSocket => Self::Udp(UdpSocket::from_std(socket.into())),
            _ => return None,
        })
    }

    /// Where it really is; `None` for a path.
    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::Tcp(listener) => Some(listener.local_addr().ok()?.to_string()),
            Self::Unix(_) => None,
            Self::Udp(socket) => Some(format!("udp:{}", socket.local_addr().ok()?)),
        }
    }

    /// The next connection, if there is one.
    pub(super) fn accept(&self) -> Option<OwnedFd> {
        match self {
            Self::Tcp(listener) => Some(net::TcpStream::from(listener.accept().ok()?.0).into()),
            Self::Unix(listener) => {
                Some(unix::net::UnixStream::from(listener.accept().ok()?.0).into())
            }
            Self::Udp(_) => None,
        }
    }

    /// The next datagram, if there is one.
    pub(super) fn receive(&self) -> Option<(String, SocketAddr)> {
        let Self::Udp(socket) = self else { return None };
        let mut buffer = [0; 1024];
        let (count, from) = socket.recv_from(&mut buffer).ok()?;
        Some((String::from_utf8_lossy(&buffer[..count]).into_owned(), from))
    }

    pub(super) fn send(&self, to: SocketAddr, text: &str) -> io::Result<()> {
        let Self::Udp(socket) = self else { return Err(ErrorKind::InvalidInput.into()) };
        socket.send_to(text.as_bytes(), to).map(drop)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
            Self::Udp(socket) => socket,
        }
    }
}

/// Where the primary hands connections over.
pub(super) struct Handed(pub(super) Arrivals);

impl Handed {
    /// The next connection, if there is one.
    pub(super) fn receive(&self) -> Option<(OwnedFd, Claim)> {
        let (socket, _, claim) = self.0.receive().ok()?;
        Some((socket, claim))
    }
}

impl Source for Handed {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

/// Somebody who is served. The claim keeps this worker from leaving.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    _claim: Claim,
}

impl Client {
    /// The other end of a connection.
    pub(super) fn new(socket: OwnedFd, kind: HandleKind, claim: Claim) -> Self {
        let stream: Box<dyn Stream> = match kind {
            HandleKind::UnixStream => Box::new(UnixStream::from_std(socket.into())),
            _ => Box::new(TcpStream::from_std(socket.into())),
        };
        Self { stream, _claim: claim }
    }

    /// Writes a line. What is written here always fits into an empty buffer.
    pub(super) fn greet(&mut self, name: &str) -> io::Result<()> {
        self.stream.write_all(format!("{name}\n").as_bytes())
    }

    /// Sends back what has come; says whether more may come.
    pub(super) fn echo(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) if self.stream.write_all(&buffer[..count]).is_ok() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

/// A connection of any kind.
trait Stream: Read + Write + Source {}

impl<S: Read + Write + Source> Stream for S {}

/// Whether a descriptor is non-blocking.
pub(super) fn is_nonblocking(socket: &OwnedFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", socket.as_raw_fd()));
    let info = info.expect("/proc is readable");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
    u32::from_str_radix(flags.trim(), 8).expect("octal") & O_NONBLOCK != 0
}

/// open(2): as Linux numbers it on all but its oldest architectures.
const O_NONBLOCK: u32 = 0o4000;
