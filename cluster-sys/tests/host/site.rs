//! Drives a worker's host, inside a worker.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use cluster_sys::invitation::Invitation;
use cluster_sys::worker::{Command, Notice, Share, WorkerHost};
use cluster_sys::{
    Address, Connection, Encoding, ListenError, ListenSpec, ListenerId, NoRoom, Outgoing, Payload,
    Progress, Reply, SendError,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::driver::{PATIENCE, reply};

/// A worker's host.
pub(crate) struct Site {
    pub(crate) host: WorkerHost,
    progress: Progress,
    poll: Poll,
    readiness: Events,
}

impl Site {
    /// Accepts this process's invitation.
    pub(crate) fn new() -> Self {
        let invitation = Invitation::from_environment().unwrap().expect("an invitation");
        let host = WorkerHost::new(invitation).unwrap();
        let poll = Poll::new().unwrap();
        let fd = host.poll_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
        Self { host, progress: Progress::More, poll, readiness: Events::with_capacity(8) }
    }

    /// Hands each notice to `found`, until it answers. A worker may be idle for any time: the
    /// patience is the test's.
    pub(crate) fn until<T>(&mut self, mut found: impl FnMut(&mut Self, Notice) -> Option<T>) -> T {
        loop {
            while let Some(notice) = self.host.poll_event() {
                if let Some(found) = found(self, notice) {
                    return found;
                }
            }
            self.turn(PATIENCE);
        }
    }

    /// Waits for one thing at most `patience` long, and lets the host have its turns.
    pub(crate) fn turn(&mut self, patience: Duration) {
        let rest = self.host.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = match self.progress {
            Progress::More => Duration::ZERO,
            Progress::Drained => rest.map_or(patience, |rest| rest.min(patience)),
        };
        match self.poll.poll(&mut self.readiness, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => other.unwrap(),
        }
        self.progress = self.host.handle_ready(Instant::now());
        if self.host.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            self.host.handle_timeout(Instant::now());
        }
    }

    /// Shares a port of 127.0.0.1.
    pub(crate) fn listen(&mut self) -> ListenerId {
        self.try_listen().unwrap().listener
    }

    /// As [`listen`](Self::listen), if it is possible.
    pub(crate) fn try_listen(&mut self) -> Result<Share, ListenError> {
        let (reply, answer) = reply();
        let spec = ListenSpec::new(Address::Tcp("127.0.0.1:0".parse().unwrap()));
        self.host.handle_command(Instant::now(), Command::Listen { spec, reply });
        loop {
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            self.turn(PATIENCE);
        }
    }

    pub(crate) fn take(&mut self, listener: ListenerId) -> bool {
        self.host.take(Instant::now(), listener)
    }

    /// Serves a connection: it hears who does, and that is all.
    pub(crate) fn serve(&self, connection: Connection) {
        let (socket, peer, claim) = connection.accept();
        // What was returned by a hostile worker has no peer, and may be any socket.
        let mut stream = std::fs::File::from(socket);
        writeln!(stream, "{}", self.host.id()).unwrap();
        drop((stream, peer, claim));
    }

    pub(crate) fn try_send<T: serde::Serialize + ?Sized>(
        &mut self,
        value: &T,
        reply: Option<Reply<Result<(), SendError>>>,
    ) -> Result<(), NoRoom> {
        let payload = Payload::encode(Encoding::Postcard, value).unwrap();
        let permit = self.host.outbox().reserve(payload.len())?;
        let message = Outgoing::new(payload, permit);
        self.host.handle_command(Instant::now(), Command::Send { message, reply });
        Ok(())
    }

    /// Sends, and waits for room if need be. Other notices that come then are lost.
    pub(crate) fn send<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        while let Err(no_room) = self.try_send(value, None) {
            assert_eq!(no_room, NoRoom::Full);
            self.until(|_, notice| matches!(notice, Notice::Room).then_some(()));
        }
    }

    /// Leaves the world to the primary: serves what comes until the channel has ended.
    pub(crate) fn serve_on(&mut self) {
        self.until(|site, notice| {
            match notice {
                Notice::Available(listener) => assert!(site.take(listener)),
                Notice::Connection(_, connection) => site.serve(connection),
                Notice::Disconnect => return Some(()),
                _ => {}
            }
            None
        });
    }
}

/// Tells the test something, past the primary.
pub(crate) struct Reporter(TcpStream);

impl Reporter {
    pub(crate) fn new() -> Self {
        Self(TcpStream::connect(std::env::var(crate::roles::REPORT).unwrap()).unwrap())
    }

    pub(crate) fn say(&mut self, text: &str) {
        writeln!(self.0, "{text}").unwrap();
    }

    /// Waits until the test does not listen any more.
    pub(crate) fn await_end(mut self) {
        self.0.read_to_end(&mut Vec::new()).unwrap();
    }
}
