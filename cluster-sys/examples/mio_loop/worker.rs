//! A worker: its host and its connections, in one loop.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use cluster_sys::invitation::Invitation;
use cluster_sys::worker::{Command, Notice};
use cluster_sys::{
    Address, Claim, Connection, ListenOptions, ListenerId, Progress, Reply, WorkerHost,
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
    let mut poll = Poll::new()?;
    let mut readiness = Events::with_capacity(256);
    let host_fd = host.poll_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&host_fd), HOST, Interest::READABLE)?;

    let spec = ListenOptions::new().spec(Address::Tcp(address));
    let reply = Reply::new(|shared: Result<_, _>| {
        if let Err(error) = shared {
            eprintln!("error: {}", listen_error(error));
        }
    });
    host.handle_command(Instant::now(), Command::Listen { spec, reply });

    let mut server = Server { host, clients: HashMap::new(), served: 0 };
    while server.host.facts().is_connected() {
        server.hear(&poll)?;
        poll_once(&mut poll, &mut readiness, server.host.poll_timeout())?;
        for event in readiness.iter() {
            server.serve(event.token());
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
    clients: HashMap<Token, Client>,
    served: usize,
}

/// A connection. The claim keeps this worker from leaving before the client has its answer.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    _claim: Claim,
}

impl Server {
    /// Takes connections as they come.
    fn hear(&mut self, poll: &Poll) -> io::Result<()> {
        while let Some(notice) = self.host.poll_event() {
            match notice {
                Notice::Available(listener) => self.take_all(listener),
                Notice::Connection(_, connection) => self.greet(poll, connection)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_all(&mut self, listener: ListenerId) {
        while self.host.take(Instant::now(), listener) {}
    }

    fn greet(&mut self, poll: &Poll, connection: Connection) -> io::Result<()> {
        let (socket, _peer, claim) = connection.accept();
        let mut stream = TcpStream::from_std(socket.into());
        self.served += 1;
        let token = Token(self.served);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.clients.insert(token, Client { stream, request: Vec::new(), _claim: claim });
        Ok(())
    }

    /// Reads a request and answers it; a client that is done or gone is dropped.
    fn serve(&mut self, token: Token) {
        let name = format!("worker {} pid {}\n", self.host.id(), std::process::id());
        if let Some(client) = self.clients.get_mut(&token)
            && client.go_on(&name).is_some()
        {
            self.clients.remove(&token);
        }
    }
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

/// The longest request that is read, in bytes.
const REQUEST_MAX: usize = 16 * 1024;
