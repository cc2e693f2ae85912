//! The host of a primary.

mod actions;
mod command;
mod handing;
mod listening;
mod sockets;
mod turn;
mod unflushed;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use cluster_core::primary::Input;
use cluster_core::{
    Config, ExitStatus, FarewellId, ListenerId, Output, Primary, SlotId, ToPrimary, WorkerId,
};
use cluster_ipc::{Encoding, Hello};
use mio::Token;

use crate::error::ForkError;
use crate::event::Event;
use crate::facts::WorkerFacts;
use crate::host::Progress;
use crate::host::handles::Handles;
use crate::host::ready::{Ready, Source};
use crate::link::Link;
use crate::message::Receipt;
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::pipes::Pipes;
use crate::process::Process;
use crate::reply::Reply;
use crate::settings::{InForce, Settings};
use crate::spawn::{SpawnError, Spawning};

use handing::{Handing, Passages};
use sockets::Sockets;
use unflushed::Unflushed;

pub use command::Command;

/// Owns all descriptors of a primary and carries out what its core decides.
///
/// Dropped, it closes the channels, which ends the workers; it does not wait for them.
#[derive(Debug)]
pub struct PrimaryHost {
    core: Primary,
    ready: Ready<Place>,
    /// Forks that the core has not yet turned into an action.
    births: HashMap<WorkerId, Birth>,
    workers: HashMap<WorkerId, Entry>,
    sockets: HashMap<ListenerId, Sockets>,
    handles: Handles,
    farewells: HashMap<FarewellId, Reply<()>>,
    news: VecDeque<News>,
    /// Workers whose links have something to write.
    unflushed: Unflushed,
    handing: Handing,
    patience: Patience,
    /// Connections accepted in this turn.
    accepted: u32,
    /// The core's next deadline.
    wait: Option<Instant>,
    /// When links and passages that the operating system refused are tried again, and whose.
    retry: Option<(Instant, Vec<WorkerId>)>,
    settings: Arc<InForce>,
    hello: Hello,
}

/// What a primary's host has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// News for the application. The receipt is to be dropped when it has taken the message.
    Event(Event, Option<Receipt>),
    /// There is room again in a worker's [`Outbox`], or it is closed: whoever was refused may
    /// try again.
    Room(WorkerId),
}

/// A worker as its host hands it out: what can be known and done without asking the host.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    /// What is known about it.
    pub facts: Arc<WorkerFacts>,
    /// Room for messages to it.
    pub outbox: Arc<Outbox>,
    /// How messages to it are encoded.
    pub encoding: Encoding,
    /// Our ends of its stdio, where piped.
    pub pipes: Arc<Pipes>,
}

impl PrimaryHost {
    /// A host without workers. They run what the settings say, until those are changed.
    ///
    /// # Errors
    ///
    /// If the operating system has no more descriptors or memory.
    pub fn new(config: Config, settings: InForce) -> io::Result<Self> {
        let hello = Hello::new(BUILD).map_err(io::Error::other)?;
        Ok(Self {
            core: Primary::new(config),
            ready: Ready::new(Place::Waker)?,
            births: HashMap::new(),
            workers: HashMap::new(),
            sockets: HashMap::new(),
            handles: Handles::default(),
            farewells: HashMap::new(),
            news: VecDeque::new(),
            unflushed: Unflushed::default(),
            handing: Handing::default(),
            patience: Patience::new(),
            accepted: 0,
            wait: None,
            retry: None,
            settings: Arc::new(settings),
            hello,
        })
    }

    /// Interrupts others for each connection, however fast they come. Without this, a primary that
    /// accepts more than [`PATIENT_FROM`](crate::limits::PATIENT_FROM) times a second waits its
    /// turn where processors are scarce, and accepts several at a time: the thread that drives it
    /// has the policy `SCHED_BATCH` then (sched(7)), unless it has been given another one.
    pub fn set_eager(&mut self) {
        self.patience.forbid();
    }

    /// Readable when there is something to do. Whoever polls it in another epoll instance
    /// registers a duplicate.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retry.as_ref().map(|(at, _)| *at);
        [self.wait, retry, self.handing.look_at].into_iter().flatten().min()
    }

    /// The next thing to tell. Whoever waits for an answer that an event explains gets it when
    /// that event has been given out.
    pub fn poll_event(&mut self) -> Option<Notice> {
        loop {
            match self.news.pop_front()? {
                News::Notice(notice) => return Some(notice),
                News::Forked(reply, forked) => reply.send(forked),
                News::Exited(reply, status) => reply.send(status),
                News::Listening(reply) | News::Farewell(reply) => reply.send(()),
            }
        }
    }

    /// One bounded turn.
    pub fn handle_ready(&mut self, now: Instant) -> Progress {
        self.look_where_pressed(now);
        for _ in 0..self.ready.look() {
            let Some(place) = self.ready.pop() else { break };
            self.visit(now, place);
            self.carry_on(now);
        }
        self.flush(now);
        self.patience.turn(now, std::mem::take(&mut self.accepted));
        if self.ready.is_empty() { Progress::Drained } else { Progress::More }
    }

    /// The moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.look_when_due(now);
        self.core.handle_input(now, Input::Timeout);
        if let Some((_, workers)) = self.retry.take_if(|(at, _)| *at <= now) {
            for worker in workers {
                self.unflushed.note(worker);
                self.send_again(worker);
            }
        }
        self.settle(now);
    }

    /// The application wants something.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        self.handle_commands(now, [command]);
    }

    /// The application wants several things: what they send is written together.
    pub fn handle_commands(&mut self, now: Instant, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.command(now, command);
            self.carry_on(now);
        }
        self.flush(now);
    }

    /// Whether there are workers: a host without them has nothing to do but commands.
    pub fn has_workers(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Carries out what the core has decided, and writes what there is to write.
    fn settle(&mut self, now: Instant) {
        self.carry_on(now);
        self.flush(now);
    }

    /// Carries out what the core has decided; what is to be written waits, so that more may be
    /// written at once.
    fn carry_on(&mut self, now: Instant) {
        loop {
            match self.core.poll_output() {
                Output::Action(action) => self.carry_out(now, action),
                Output::Event(event) => self.tell(event),
                Output::Wait(deadline) => {
                    self.wait = deadline;
                    break;
                }
            }
        }
    }

    fn publish(&mut self, event: Event) {
        self.notify(Notice::Event(event, None));
    }

    fn notify(&mut self, notice: Notice) {
        self.news.push_back(News::Notice(notice));
    }
}

/// What is to be told, in this order.
#[derive(Debug)]
enum News {
    Notice(Notice),
    Forked(Reply<Result<WorkerParts, ForkError>>, Result<WorkerParts, ForkError>),
    Exited(Reply<ExitStatus>, ExitStatus),
    Listening(Reply<()>),
    Farewell(Reply<()>),
}

/// What a fork was asked with.
#[derive(Debug)]
struct Birth {
    settings: Settings,
    reply: Reply<Result<WorkerParts, ForkError>>,
}

/// A worker's descriptors and who waits for it.
#[derive(Debug)]
struct Entry {
    facts: Arc<WorkerFacts>,
    outbox: Arc<Outbox>,
    encoding: Encoding,
    /// What it runs.
    program: PathBuf,
    pipes: Arc<Pipes>,
    /// Until the channel has ended.
    link: Option<Link<ToPrimary>>,
    passages: Passages,
    body: Body,
    /// Hears of the fork; answered once.
    forked: Option<Reply<Result<WorkerParts, ForkError>>>,
    /// Hear of its first listener; dropped when none will come.
    listens: Vec<Reply<()>>,
    /// Hear of the exit.
    exits: Vec<Reply<ExitStatus>>,
}

/// A worker's process.
#[derive(Debug)]
enum Body {
    /// Its program is not executed yet, as far as is known.
    Spawning(Spawning),
    Running(Process),
    /// There is none (any more); why, if it never was.
    Gone(Option<Arc<SpawnError>>),
}

/// What is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Somebody has taken messages.
    Waker,
    Listener(ListenerId, SlotId),
    Channel(WorkerId),
    Process(WorkerId),
    Spawning(WorkerId),
    /// Something was taken out of one of its passages.
    Passages(WorkerId),
}

impl Source for Place {
    fn token(self) -> Token {
        let (number, kind) = match self {
            Self::Waker => (0, 0),
            Self::Listener(ListenerId(number), SlotId(slot)) => {
                return Token(usize::from(slot) << SLOT_SHIFT | (number as usize) << 3 | 1);
            }
            Self::Channel(worker) => (worker.number(), 2),
            Self::Process(worker) => (worker.number(), 3),
            Self::Spawning(worker) => (worker.number(), 4),
            Self::Passages(worker) => (worker.number(), 5),
        };
        Token((number as usize) << 3 | kind)
    }

    fn of(Token(token): Token) -> Self {
        let number = (token >> 3) as u32;
        match (token & 7, WorkerId::new(number)) {
            (1, _) => Self::Listener(ListenerId(number), SlotId((token >> SLOT_SHIFT) as u16)),
            (2, Some(worker)) => Self::Channel(worker),
            (3, Some(worker)) => Self::Process(worker),
            (4, Some(worker)) => Self::Spawning(worker),
            (5, Some(worker)) => Self::Passages(worker),
            _ => Self::Waker,
        }
    }
}

/// A token's bits from here on are a slot; below them are a number of 32 bits and a kind.
const SLOT_SHIFT: u32 = 3 + u32::BITS;

/// Says in the handshake which build of this crate speaks.
pub(crate) const BUILD: &str = concat!("cluster-sys ", env!("CARGO_PKG_VERSION"));
