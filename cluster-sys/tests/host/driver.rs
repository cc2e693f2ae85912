//! Drives a primary's host, as an adapter does: edge-triggered, without ever sleeping.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use cluster_sys::primary::{Command, Notice, PrimaryHost};
use cluster_sys::{
    Config, Encoding, Event, ForkError, InForce, Message, NoRoom, Outgoing, Payload, Progress,
    Receipt, Reply, SendError, Settings, Signal, WorkerId, WorkerParts,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use crate::roles::{REPORT, ROLE, program};
use crate::support::wait_readable;

/// A primary's host and what it has told so far.
pub(crate) struct Driver {
    pub(crate) host: PrimaryHost,
    /// Messages that were told and not looked at. Their receipts are held until they are.
    pub(crate) messages: VecDeque<(WorkerId, Message, Receipt)>,
    /// How often there was room again.
    pub(crate) rooms: usize,
    /// How often it was woken, for whatever reason.
    pub(crate) turns: u32,
    /// How often a deadline had come.
    pub(crate) timeouts: u32,
    /// The time that the host is told, if it is not the true one.
    pub(crate) clock: Option<Instant>,
    stopped: Vec<WorkerId>,
    lines: Vec<String>,
    expected: usize,
    progress: Progress,
    poll: Poll,
    readiness: Events,
}

impl Driver {
    pub(crate) fn new(program: Settings) -> Self {
        Self::with(Config::default(), program)
    }

    pub(crate) fn with(config: Config, program: Settings) -> Self {
        let host = PrimaryHost::new(config, InForce::new().with(&program)).unwrap();
        let poll = Poll::new().unwrap();
        let fd = host.poll_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
        Self {
            host,
            messages: VecDeque::new(),
            rooms: 0,
            turns: 0,
            timeouts: 0,
            clock: None,
            stopped: Vec::new(),
            lines: Vec::new(),
            expected: 0,
            progress: Progress::More,
            poll,
            readiness: Events::with_capacity(8),
        }
    }

    /// Drives until `found` answers.
    #[track_caller]
    pub(crate) fn until<T>(&mut self, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let patience = end.saturating_duration_since(Instant::now());
            assert!(!patience.is_zero(), "nothing happened for too long: {:#?}", self.lines);
            self.turn(patience);
        }
    }

    /// Waits for one thing at most `patience` long, and lets the host have its turns.
    pub(crate) fn turn(&mut self, patience: Duration) {
        let rest = self.host.poll_timeout().map(|at| at.saturating_duration_since(self.now()));
        let timeout = match self.progress {
            Progress::More => Duration::ZERO,
            Progress::Drained => rest.map_or(patience, |rest| rest.min(patience)),
        };
        match self.poll.poll(&mut self.readiness, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => other.unwrap(),
        }
        self.turns += 1;
        self.progress = self.host.handle_ready(self.now());
        if self.host.poll_timeout().is_some_and(|at| at <= self.now()) {
            self.timeouts += 1;
            self.host.handle_timeout(self.now());
        }
        self.collect();
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.unwrap_or_else(Instant::now)
    }

    /// Takes what the host has to tell.
    pub(crate) fn collect(&mut self) {
        while let Some(notice) = self.host.poll_event() {
            match notice {
                Notice::Event(Event::Message { worker, message }, Some(receipt)) => {
                    self.messages.push_back((worker, message, receipt));
                }
                Notice::Event(event, _) => self.lines.push(event.to_string()),
                Notice::Room(_) => self.rooms += 1,
                _ => {}
            }
        }
    }

    pub(crate) fn order(&mut self, command: Command) {
        self.host.handle_command(self.now(), command);
        self.collect();
    }

    /// Orders something and drives until it is answered.
    #[track_caller]
    pub(crate) fn ask<T: Send + 'static>(&mut self, order: impl FnOnce(Reply<T>) -> Command) -> T {
        let (reply, answer) = reply();
        self.order(order(reply));
        self.until(|_| answer.try_recv().ok())
    }

    pub(crate) fn try_fork(&mut self, role: &str) -> Result<WorkerParts, ForkError> {
        let settings = Settings::new().env(ROLE, role);
        self.ask(|reply| Command::Fork { settings, reply })
    }

    /// Starts a worker with a role and waits until it is online.
    #[track_caller]
    pub(crate) fn fork(&mut self, role: &str) -> WorkerParts {
        let parts = self.try_fork(role).unwrap();
        let id = parts.facts.id();
        self.expect(&format!("fork {id} *"));
        self.expect(&format!("online {id}"));
        parts
    }

    /// Starts a worker with a role and waits until it listens on a port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn fork_listening(&mut self, role: &str) -> (WorkerParts, SocketAddr) {
        let parts = self.fork(role);
        let line = self.expect(&format!("listening {} 127.0.0.1:*", parts.facts.id()));
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        (parts, address)
    }

    /// Drives until the next event comes, which must be this one. A star at the end stands for
    /// anything.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) -> String {
        let at = self.expected;
        let line = self.until(|it| it.lines.get(at).cloned());
        self.expected += 1;
        let matches = match expected.strip_suffix('*') {
            Some(beginning) => line.starts_with(beginning),
            None => line == expected,
        };
        assert!(matches, "{expected:?} was expected instead of the last of {:#?}", self.lines);
        line
    }

    /// Drives until these events have come, in whatever order, and no other.
    #[track_caller]
    pub(crate) fn expect_all(&mut self, expected: &[&str]) {
        let at = self.expected;
        let all = at + expected.len();
        let mut found = self.until(|it| it.lines.get(at..all).map(<[String]>::to_vec));
        self.expected = all;
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "in {:#?}", self.lines);
    }

    /// Asserts that no event came but those that were expected.
    #[track_caller]
    pub(crate) fn assert_nothing_else(&mut self) {
        self.collect();
        assert_eq!(self.lines[self.expected..], [""; 0], "in {:#?}", self.lines);
    }

    /// Lets all workers leave, and asserts that this is all that happens.
    #[track_caller]
    pub(crate) fn leave(&mut self, workers: &[u32]) {
        self.ask(|reply| Command::DisconnectAll { kill_after: None, reply });
        let lines = workers.iter().flat_map(|id| {
            let exit = format!("exit {id} code=0 signal=- exited_after_disconnect=true");
            [format!("draining {id}"), format!("disconnect {id}"), exit]
        });
        let lines: Vec<String> = lines.collect();
        self.expect_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        self.assert_nothing_else();
        assert!(!self.host.has_workers());
        assert_eq!(self.host.poll_timeout(), None);
    }

    /// Kills a worker and waits for both of its ends.
    #[track_caller]
    pub(crate) fn kill(&mut self, parts: &WorkerParts) {
        let id = parts.facts.id();
        self.order(Command::Kill { worker: id, signal: Signal::KILL });
        self.expect(&format!("disconnect {id}"));
        self.expect(&format!("exit {id} code=- signal=SIGKILL exited_after_disconnect=false"));
    }

    /// Stops a worker: from now on it does nothing.
    #[track_caller]
    pub(crate) fn stop(&mut self, parts: &WorkerParts) {
        self.order(Command::Kill { worker: parts.facts.id(), signal: Signal::STOP });
        self.await_stop(parts);
    }

    /// Waits until a worker's process has stopped.
    #[track_caller]
    pub(crate) fn await_stop(&mut self, parts: &WorkerParts) {
        self.stopped.push(parts.facts.id());
        let pid = nix::unistd::Pid::from_raw(parts.facts.pid().unwrap().0.cast_signed());
        let found = waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED);
        assert!(matches!(found, Ok(WaitStatus::Stopped(..))), "{found:?}");
    }

    #[track_caller]
    pub(crate) fn go_on(&mut self, parts: &WorkerParts) {
        self.order(Command::Kill { worker: parts.facts.id(), signal: Signal::CONT });
    }

    /// Queues a message, if there is room.
    pub(crate) fn try_send<T: serde::Serialize + ?Sized>(
        &mut self,
        to: &WorkerParts,
        value: &T,
        reply: Option<Reply<Result<(), SendError>>>,
    ) -> Result<(), NoRoom> {
        let payload = Payload::encode(Encoding::Postcard, value).unwrap();
        let permit = to.outbox.reserve(payload.len())?;
        let message = Outgoing::new(payload, permit);
        self.order(Command::Send { worker: to.facts.id(), message, reply });
        Ok(())
    }

    /// Sends a message, and waits for room if need be.
    #[track_caller]
    pub(crate) fn send<T: serde::Serialize + ?Sized>(&mut self, to: &WorkerParts, value: &T) {
        loop {
            let rooms = self.rooms;
            match self.try_send(to, value, None) {
                Ok(()) => return,
                Err(NoRoom::Full) => self.until(|it| (it.rooms > rooms).then_some(())),
                Err(NoRoom::Closed) => panic!("the channel is closed"),
            }
        }
    }

    /// The next message, and what is to be dropped to take it.
    #[track_caller]
    pub(crate) fn next_message(&mut self) -> (WorkerId, Message, Receipt) {
        self.until(|it| it.messages.pop_front())
    }

    /// The next message, which is taken.
    #[track_caller]
    pub(crate) fn message<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let (_, message, _receipt) = self.next_message();
        message.decode().unwrap()
    }

    /// Drives until the connection is at its end; the number of the worker that served it, if
    /// one has.
    #[track_caller]
    pub(crate) fn served(&mut self, client: &mut TcpStream) -> Option<u32> {
        client.set_nonblocking(true).unwrap();
        let text = self.read_to_end(client);
        (!text.is_empty()).then(|| text.trim().parse().unwrap())
    }

    /// Drives until a non-blocking stream is at its end, and answers what came.
    #[track_caller]
    pub(crate) fn read_to_end<R: Read + AsRawFd>(&mut self, stream: &mut R) -> String {
        let fd = stream.as_raw_fd();
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd), Token(1), Interest::READABLE).unwrap();
        let mut text = Vec::new();
        self.until(|_| match stream.read_to_end(&mut text) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(()),
            Err(error) => panic!("{error}"),
            Ok(_) => Some(()),
        });
        self.poll.registry().deregister(&mut SourceFd(&fd)).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Whether something has come on a connection, or its end.
    pub(crate) fn is_answered(client: &TcpStream) -> bool {
        client.set_nonblocking(true).unwrap();
        !matches!(client.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

impl Drop for Driver {
    /// One that is stopped would not see its channel end, and would outlive a test that fails.
    fn drop(&mut self) {
        for worker in self.stopped.drain(..) {
            let go_on = Command::Kill { worker, signal: Signal::CONT };
            self.host.handle_command(Instant::now(), go_on);
        }
    }
}

/// A reply, and where it goes.
pub(crate) fn reply<T: Send + 'static>() -> (Reply<T>, Receiver<T>) {
    let (sender, receiver) = channel();
    // Whoever does not wait any more needs no answer.
    (Reply::new(move |answer| sender.send(answer).unwrap_or_default()), receiver)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// A way around the primary: what workers report comes here also while nobody drives it.
pub(crate) struct Reports {
    listener: TcpListener,
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// The workers' program, to report here.
    pub(crate) fn program(&self) -> Settings {
        program().env(REPORT, self.listener.local_addr().unwrap().to_string())
    }

    /// Waits for the next worker that reports, and does not drive while it waits.
    #[track_caller]
    pub(crate) fn accept(&self) -> Report {
        wait_readable(&self.listener);
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Report { stream: BufReader::new(stream) }
    }
}

/// What one worker reports.
pub(crate) struct Report {
    stream: BufReader<TcpStream>,
}

impl Report {
    /// The next line; empty when the worker is gone.
    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            Ok(_) | Err(_) => line.trim().to_owned(),
        }
    }
}

/// An error as the operating system words it.
pub(crate) fn worded(errno: nix::errno::Errno) -> String {
    io::Error::from(errno).to_string()
}

/// Nothing in these tests takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
