//! A worker: its host and its connections, in one loop.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use cluster_sys::invitation::Invitation;
use cluster_sys::worker::{Command, Notice, Share};
use cluster_sys::{
    Address, Arrivals, Arrived, Claim, ListenError, ListenOptions, Progress, Reply, WorkerHost,
    listen_error,
};
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::primary::poll_once;

/// Serves until the primary asks this worker to leave.
pub(crate) fn run(invitation: Invitation, address: SocketAddr) -> Result<(), Failure> {
    let mut host = WorkerHost::new(invitation)?;
    let poll = Poll::new()?;
    let mut readiness = Events::with_capacity(256);
    let host_fd = host.poll_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&host_fd), HOST, Interest::READABLE)?;

    let spec = ListenOptions::new().spec(Address::Tcp(address));
    let (answer, shared) = channel();
    let reply = Reply::new(move |shared| answer.send(shared).unwrap_or_default());
    host.handle_command(Instant::now(), Command::Listen { spec, reply });

    let (arrivals, clients) = (None, HashMap::new());
    let mut server = Server { host, poll, shared, arrivals, clients, served: 0 };
    while server.host.facts().is_connected() {
        server.hear()?;
        let deadline = server.host.poll_timeout();
        poll_once(&mut server.poll, &mut readiness, deadline)?;
        for event in readiness.iter() {
            server.serve(event.token())?;
        }
        while server.host.handle_ready(Instant::now()) == Progress::More {}
        if server.host.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            server.host.handle_timeout(Instant::now());
        }
    }
    Ok(())
}

struct Server {
    host: WorkerHost,
    poll: Poll,
    /// The answer to the wish to listen.
    shared: Receiver<Result<Share, ListenError>>,
    /// Where connections come from, while there is something to share.
    arrivals: Option<Arrivals>,
    clients: HashMap<Token, Client>,
    served: usize,
}

impl Server {
    /// Hears what the host has to tell.
    fn hear(&mut self) -> io::Result<()> {
        match self.shared.try_recv() {
            Ok(Ok(Share { arrivals: Some(arrivals), .. })) => {
                let fd = &arrivals.as_raw_fd();
                self.poll.registry().register(&mut SourceFd(fd), ARRIVALS, Interest::READABLE)?;
                self.arrivals = Some(arrivals);
            }
            Ok(Err(error)) => eprintln!("error: {}", listen_error(error)),
            _ => {}
        }
        while let Some(notice) = self.host.poll_event() {
            if let Notice::Closed(_) = notice
                && let Some(arrivals) = self.arrivals.take()
            {
                // The primary has this socket, too: closing it here would not take it out.
                self.poll.registry().deregister(&mut SourceFd(&arrivals.as_raw_fd()))?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, token: Token) -> io::Result<()> {
        match token {
            HOST => Ok(()),
            ARRIVALS => self.welcome_all(),
            client => self.answer(client),
        }
    }

    /// Takes all connections there are: mio tells an edge once.
    fn welcome_all(&mut self) -> io::Result<()> {
        while let Some(arrivals) = &self.arrivals {
            match arrivals.receive() {
                Ok(connection) => self.welcome(connection)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It stays where it is until a client has gone.
                Err(error) => {
                    eprintln!("error: {error}");
                    break;
                }
            }
        }
        Ok(())
    }

    fn welcome(&mut self, (socket, _peer, claim): Arrived) -> io::Result<()> {
        let mut stream = TcpStream::from_std(socket.into());
        self.served += 1;
        let token = Token(ARRIVALS.0 + self.served);
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.clients.insert(token, Client { stream, request: Vec::new(), _claim: claim });
        Ok(())
    }

    /// Reads a request and answers it; a client that is done or gone is dropped. If it had the
    /// last descriptor, the next connection could not be received before.
    fn answer(&mut self, token: Token) -> io::Result<()> {
        let name = format!("worker {} pid {}\n", self.host.id(), std::process::id());
        if let Some(client) = self.clients.get_mut(&token)
            && client.go_on(&name).is_some()
        {
            self.clients.remove(&token);
            self.welcome_all()?;
        }
        Ok(())
    }
}

/// A connection. The claim keeps this worker from leaving before the client has its answer.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    _claim: Claim,
}

impl Client {
    /// Goes on with the conversation: `None` until it is over.
    fn go_on(&mut self, name: &str) -> Option<io::Result<()>> {
        let mut buffer = [0; 4096];
        while !self.request.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(Ok(())),
                Ok(count) if self.request.len() + count <= REQUEST_MAX => {
                    self.request.extend_from_slice(&buffer[..count]);
                }
                Ok(_) => return Some(Err(io::ErrorKind::InvalidData.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        let length = name.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n");
        // An answer of this size always fits into an empty socket buffer.
        Some(self.stream.write_all(format!("{head}\r\n{name}").as_bytes()))
    }
}

const HOST: Token = Token(0);
const ARRIVALS: Token = Token(1);

/// The longest request that is read, in bytes.
const REQUEST_MAX: usize = 16 * 1024;
