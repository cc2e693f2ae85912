//! Drives a worker's host, inside a worker.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use cluster_sys::invitation::Invitation;
use cluster_sys::worker::{Command, Notice, Share, WorkerHost};
use cluster_sys::{
    Address, Arrivals, Arrived, Encoding, ListenError, ListenSpec, ListenerId, NoRoom, Outgoing,
    Payload, Progress, Reply, SendError,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::driver::{PATIENCE, reply};

/// A worker's host, and where connections arrive.
pub(crate) struct Site {
    pub(crate) host: WorkerHost,
    arrivals: Vec<(ListenerId, Arrivals)>,
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
        let (arrivals, readiness) = (Vec::new(), Events::with_capacity(8));
        Self { host, arrivals, progress: Progress::More, poll, readiness }
    }

    /// Hands each notice to `found`, until it answers, and takes nothing of what arrives. A worker
    /// may be idle for any time: the patience is the test's.
    pub(crate) fn until<T>(&mut self, mut found: impl FnMut(&mut Self, Notice) -> Option<T>) -> T {
        loop {
            while let Some(notice) = self.hear() {
                if let Some(found) = found(self, notice) {
                    return found;
                }
            }
            self.turn(PATIENCE);
        }
    }

    /// As [`until`](Self::until), but takes what arrives, and hands that to `found`, too.
    pub(crate) fn taking_until<T>(
        &mut self,
        mut found: impl FnMut(&mut Self, News) -> Option<T>,
    ) -> T {
        loop {
            let notice = self.hear().map(News::Notice);
            match notice.or_else(|| self.take().map(News::Arrived)) {
                None => self.turn(PATIENCE),
                Some(news) => {
                    if let Some(found) = found(self, news) {
                        return found;
                    }
                }
            }
        }
    }

    fn hear(&mut self) -> Option<Notice> {
        let notice = self.host.poll_event()?;
        if let Notice::Closed(listener) = notice {
            self.close_arrivals(listener);
        }
        Some(notice)
    }

    /// The primary has the socket, too: closed here, it would still be polled.
    fn close_arrivals(&mut self, listener: ListenerId) {
        let place = self.arrivals.iter().position(|(it, _)| *it == listener);
        let Some(place) = place else { return };
        let (_, arrivals) = self.arrivals.swap_remove(place);
        self.poll.registry().deregister(&mut SourceFd(&arrivals.as_raw_fd())).unwrap();
    }

    /// Shares a listener no longer.
    pub(crate) fn close(&mut self, listener: ListenerId) {
        self.close_arrivals(listener);
        self.order(Command::Close { listener });
    }

    pub(crate) fn order(&mut self, command: Command) {
        self.host.handle_command(Instant::now(), command);
    }

    /// Takes a connection, if one has arrived.
    pub(crate) fn take(&mut self) -> Option<Arrived> {
        self.arrivals.iter().find_map(|(_, arrivals)| match arrivals.receive() {
            Ok(arrived) => Some(arrived),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::NotConnected => None,
                _ => panic!("{error}"),
            },
        })
    }

    /// Waits for a connection, and takes it.
    pub(crate) fn await_arrival(&mut self) -> Arrived {
        loop {
            if let Some(arrived) = self.take() {
                return arrived;
            }
            self.turn(PATIENCE);
        }
    }

    /// Where connections of the first listener arrive.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals.first().expect("something is shared").1
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
        let share = self.try_listen().unwrap();
        self.attend(share)
    }

    /// From now on, what arrives there wakes this worker.
    pub(crate) fn attend(&mut self, share: Share) -> ListenerId {
        let arrivals = share.arrivals.expect("connections are handed over");
        let fd = arrivals.as_raw_fd();
        let token = Token(1 + self.arrivals.len());
        self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).unwrap();
        self.arrivals.push((share.listener, arrivals));
        share.listener
    }

    /// Asks for a share in a port of 127.0.0.1.
    pub(crate) fn try_listen(&mut self) -> Result<Share, ListenError> {
        let (reply, answer) = reply();
        let spec = ListenSpec::new(Address::Tcp("127.0.0.1:0".parse().unwrap()));
        self.order(Command::Listen { spec, reply });
        loop {
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            self.turn(PATIENCE);
        }
    }

    /// Serves a connection: it hears who does, and that is all.
    pub(crate) fn serve(&self, (socket, peer, claim): Arrived) {
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
        self.order(Command::Send { message, reply });
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
        self.taking_until(|site, news| {
            match news {
                News::Arrived(connection) => site.serve(connection),
                News::Notice(Notice::Disconnect) => return Some(()),
                News::Notice(_) => {}
            }
            None
        });
    }
}

/// What happens to a worker.
pub(crate) enum News {
    Notice(Notice),
    Arrived(Arrived),
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
