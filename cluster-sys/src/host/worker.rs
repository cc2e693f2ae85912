//! The host of a worker.

mod actions;
mod command;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use cluster_core::agent::Input;
use cluster_core::{
    Address, Agent, ListenError, ListenerId, Output, RequestId, Signal, ToWorker, WorkerId,
};
use cluster_ipc::{Encoding, Hello};
use mio::Token;

use crate::activity::Activity;
use crate::arrivals::Arrivals;
use crate::claim::{Claims, Returned, Returner};
use crate::facts::WorkerFacts;
use crate::host::Progress;
use crate::host::handles::Handles;
use crate::host::primary::BUILD;
use crate::host::ready::{Ready, Source};
use crate::invitation::Invitation;
use crate::limits::READS_PER_TURN;
use crate::link::{Incoming, Link, LinkError, Reading};
use crate::message::{Message, Receipt};
use crate::outbox::Outbox;
use crate::reply::Reply;

pub use command::Command;

/// Owns all descriptors of a worker's side of the cluster and carries out what its core decides.
///
/// When the channel ends without the worker having left, it ends the process at once with
/// status 0, as Node does.
#[derive(Debug)]
pub struct WorkerHost {
    core: Agent,
    ready: Ready<Place>,
    /// Until the channel is closed.
    link: Option<Link<ToWorker>>,
    handles: Handles,
    requests: HashMap<RequestId, Reply<Result<Share, ListenError>>>,
    /// A passage, and a socket that the kernel shares, whose listener is about to be told.
    adopted: [Option<(ListenerId, OwnedFd)>; 2],
    returner: Returner,
    returns: Receiver<Returned>,
    activity: Activity,
    facts: Arc<WorkerFacts>,
    outbox: Arc<Outbox>,
    events: VecDeque<Notice>,
    phase: Phase,
    /// When the link is tried again that the operating system refused.
    retry: Option<Instant>,
    encoding: Encoding,
}

/// What a worker's host has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The primary's application has sent a message. The receipt is to be dropped when the
    /// application has taken it.
    Message(Message, Receipt),
    /// No more connections come from this listener: whoever accepts is to be told.
    Closed(ListenerId),
    /// No connections are to be accepted from sockets that the kernel shares, or they may be
    /// again.
    Cordoned(bool),
    /// The worker begins to leave gracefully.
    Draining,
    /// The channel has ended.
    Disconnect,
    /// There is room again in the [`Outbox`], or it is closed.
    Room,
}

/// A worker's share in a listener.
#[derive(Debug)]
pub struct Share {
    /// The listener.
    pub listener: ListenerId,
    /// Where it really listens.
    pub address: Address,
    /// Where connections that are handed over arrive. Without it, there are none (UDP).
    pub arrivals: Option<Arrivals>,
    /// The listening (or, for UDP, bound) socket itself, non-blocking, if the worker is to accept
    /// from it. Without it, all connections are handed over; with it, some may be. Other processes
    /// have the same socket: whoever polls it with epoll(7) takes it out before closing it.
    pub socket: Option<OwnedFd>,
    /// What all workers that share it are to know: what the first of them gave.
    pub data: Vec<u8>,
    /// For connections that this worker accepts itself: [`Claims::accept`], from the socket as
    /// [lent](crate::socket::ListenSocket::lent).
    pub claims: Claims,
}

impl WorkerHost {
    /// Accepts the invitation: takes the channel over and says that the worker is online.
    ///
    /// # Errors
    ///
    /// If the channel was taken over before or is gone, or the operating system has no more
    /// descriptors.
    pub fn new(invitation: Invitation) -> io::Result<Self> {
        let (worker, encoding) = (invitation.worker(), invitation.encoding());
        let channel = invitation.adopt()?;
        let ready = Ready::new(Place::Waker)?;
        ready.watch(Place::Channel, channel.as_fd())?;
        let hello = Hello::new(BUILD).map_err(io::Error::other)?;
        let link = Link::new(channel, &hello, ready.waker().clone());
        let (returner, returns) = Returner::new(ready.waker().clone());
        let facts = WorkerFacts::new(worker);
        facts.forked(cluster_core::Pid(std::process::id()));
        let mut host = Self {
            core: Agent::new(),
            outbox: link.outbox().clone(),
            link: Some(link),
            handles: Handles::default(),
            requests: HashMap::new(),
            adopted: [None, None],
            returner,
            returns,
            activity: Activity::new(ready.waker().clone()),
            facts: Arc::new(facts),
            events: VecDeque::new(),
            phase: Phase::Here,
            retry: None,
            encoding,
            ready,
        };
        host.settle(None);
        Ok(host)
    }

    /// Which worker this is.
    pub fn id(&self) -> WorkerId {
        self.facts.id()
    }

    /// How messages are encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What is known about this worker.
    pub fn facts(&self) -> &Arc<WorkerFacts> {
        &self.facts
    }

    /// Room for messages to the primary.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// What must end before this worker may leave.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Readable when there is something to do. Whoever polls it in another epoll instance
    /// registers a duplicate.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retry
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Notice> {
        self.events.pop_front()
    }

    /// One bounded turn.
    pub fn handle_ready(&mut self, now: Instant) -> Progress {
        for _ in 0..self.ready.look() {
            match self.ready.pop() {
                Some(Place::Channel) => self.read_some(),
                Some(Place::Waker) => self.take_returns(),
                None => break,
            }
        }
        self.settle(Some(now));
        if self.ready.is_empty() { Progress::Drained } else { Progress::More }
    }

    /// The moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.retry.take_if(|at| *at <= now);
        self.settle(Some(now));
    }

    /// The application wants something.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        self.handle_commands(now, [command]);
    }

    /// The application wants several things: what they send is written together.
    pub fn handle_commands(&mut self, now: Instant, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.command(command);
            self.carry_on();
        }
        self.settle(Some(now));
    }

    /// Carries out what the core has decided, and writes.
    fn settle(&mut self, now: Option<Instant>) {
        self.activity.report(self.core.counts());
        self.core.finished(self.activity.take_ended());
        self.carry_on();
        if let Phase::Leaving { idle: false } = self.phase
            && self.activity.count() == 0
        {
            self.phase = Phase::Leaving { idle: true };
            self.core.handle_input(Input::Idle);
            self.carry_on();
        }
        self.flush(now);
    }

    fn carry_on(&mut self) {
        loop {
            match self.core.poll_output() {
                Output::Action(action) => self.carry_out(action),
                Output::Event(event) => self.tell(event),
                Output::Wait(_) => break,
            }
        }
    }

    fn read_some(&mut self) {
        let end = self.ready.has_ended(Place::Channel);
        for _ in 0..READS_PER_TURN {
            let Some(link) = &mut self.link else { return };
            let read = link.receive(end).map_err(LinkError::from);
            let read = read.and_then(|reading| {
                self.hear()?;
                Ok(reading)
            });
            match read {
                Ok(Reading::More) => {}
                Ok(Reading::Drained) => return,
                // What cannot be understood is as good as an end: the primary takes its
                // connections back, and this process must not outlive its place.
                Ok(Reading::End) | Err(_) => {
                    self.close_link();
                    return self.core.handle_input(Input::ChannelClosed);
                }
            }
        }
        self.ready.push(Place::Channel);
    }

    fn hear(&mut self) -> Result<(), LinkError> {
        while let Some(link) = &mut self.link {
            match link.pop()? {
                None => break,
                Some(Incoming::Control(message, handle)) => {
                    let handle = handle.map(|it| self.handles.insert(it));
                    // Who is asked for it knows what has ended so far.
                    self.core.finished(self.activity.take_ended());
                    self.core.handle_input(Input::Received { message, handle });
                    self.carry_on();
                }
                Some(Incoming::User(message, receipt)) => {
                    self.events.push_back(Notice::Message(message, receipt));
                }
            }
        }
        Ok(())
    }

    /// Takes in the connections that the application has not seen.
    fn take_returns(&mut self) {
        while let Ok(Returned { listener, socket, peer, mut guard }) = self.returns.try_recv() {
            let token = self.handles.insert(socket);
            self.core.finished(u64::from(guard.returned()));
            self.core.give_back(listener, token, peer);
            self.carry_on();
            drop(guard);
        }
    }
}

impl Drop for WorkerHost {
    /// A program may end as soon as its server has. What the server gave back in its last moment
    /// still goes to the primary, as far as the channel takes it without waiting.
    fn drop(&mut self) {
        self.take_returns();
        self.flush(None);
    }
}

/// How far this worker is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Here,
    /// The core wants to know when the application is idle.
    Leaving {
        idle: bool,
    },
    /// The channel closes when all is written; then comes the end, if there is to be one.
    Closing(Option<End>),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit { code: i32 },
    Raise { signal: Signal },
}

/// What is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A guard was dropped, or a connection came back, or messages were taken.
    Waker,
    Channel,
}

impl Source for Place {
    fn token(self) -> Token {
        match self {
            Self::Waker => Token(0),
            Self::Channel => Token(1),
        }
    }

    fn of(Token(token): Token) -> Self {
        if token == 1 { Self::Channel } else { Self::Waker }
    }
}
