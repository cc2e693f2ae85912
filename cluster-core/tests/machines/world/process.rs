//! A worker's process: its machine, its host, its application, and the channel to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster_core::agent::{Action, Event};
use cluster_core::{
    Agent, ExitStatus, ListenError, ListenerId, Output, RequestId, SlotId, ToPrimary, ToWorker,
};

use super::kernel::{Number, Place};

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) stage: Stage,
    pub(crate) agent: Agent,
    pub(crate) application: Application,
    pub(crate) link: Link,
    /// What the worker's host has yet to do, in this order.
    pub(crate) works: VecDeque<Work>,
    /// What the worker read last is a passage, whose grant is to follow.
    pub(crate) announced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being started.
    Asked,
    Running,
    /// It is blocked, or stopped by a signal.
    Blocked,
    /// It has ended; the primary does not know.
    Ended(ExitStatus),
    Reaped,
}

/// A message and the descriptor that rides along.
pub(crate) type Frame<Message> = (Message, Option<Number>);

#[derive(Debug)]
pub(crate) enum Work {
    Say(Frame<ToPrimary>),
    CloseChannel,
    /// Comes after the channel is closed, and so is carried out after it.
    Later(Output<Action, Event>),
}

/// The channel: a pipe with some room in each direction, and the queue of the primary's host.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) room: usize,
    pub(crate) queue: VecDeque<Frame<ToWorker>>,
    pub(crate) down: VecDeque<Frame<ToWorker>>,
    pub(crate) up: VecDeque<Frame<ToPrimary>>,
    pub(crate) primary_end: End,
    pub(crate) worker_end: End,
    /// A grandchild has inherited the worker's end.
    pub(crate) held: bool,
    /// The worker has been told of the end.
    pub(crate) end_seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    /// Nothing more is said from here; what is queued is still written.
    Ending,
    Closed,
}

/// What a worker's program does with its listeners.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) requests: BTreeSet<RequestId>,
    pub(crate) listeners: Vec<ListenerId>,
    /// Those of which it has a socket itself.
    pub(crate) adopted: BTreeMap<ListenerId, SlotId>,
    /// What came with its listeners.
    pub(crate) data: Vec<Vec<u8>>,
    pub(crate) failed: Vec<ListenError>,
    /// Its ends of passages.
    pub(crate) passages: BTreeMap<ListenerId, Number>,
    /// Those that it has no use for and has not closed yet.
    pub(crate) dropping: Vec<Number>,
    /// How many connections it will take.
    pub(crate) appetite: usize,
    /// How many of the connections that it takes it will not look at.
    pub(crate) returns: usize,
    /// How many descriptors the process has no room for.
    pub(crate) blind: usize,
    pub(crate) serving: VecDeque<Number>,
    /// It does not finish what it does.
    pub(crate) busy: bool,
    /// It was told to accept nothing itself.
    pub(crate) cordoned: bool,
    /// Its host watches for idleness.
    pub(crate) watched: bool,
    pub(crate) disconnected: bool,
}

impl Process {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            stage: Stage::Asked,
            agent: Agent::new(),
            application: Application::new(),
            link: Link::new(room),
            works: VecDeque::new(),
            announced: false,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.stage == Stage::Running
    }

    pub(crate) fn lives(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Running | Stage::Blocked)
    }

    /// Runs, talks, and is not about to leave.
    pub(crate) fn is_healthy(&self) -> bool {
        self.runs() && self.link.is_whole() && !self.agent.is_leaving()
    }

    /// The next passage that the application would take a connection out of, if one is there.
    pub(crate) fn next_to_take(&self, inside: impl Fn(Number) -> bool) -> Option<Number> {
        let application = &self.application;
        let hungry = application.appetite > 0 && self.runs();
        let of = |listener| application.passages.get(listener);
        let mut passages =
            application.listeners.iter().filter_map(of).chain(&application.dropping).copied();
        passages.find(|passage| hungry && inside(*passage))
    }

    /// A listener that the application would accept from itself, if somebody waits there.
    pub(crate) fn next_to_accept(&self, waits: impl Fn(Place) -> bool) -> Option<Place> {
        let hungry = self.application.appetite > 0 && !self.agent.is_cordoned();
        let places = self.application.adopted.iter().map(|(listener, slot)| (*listener, *slot));
        places.filter(|_| self.runs() && hungry).find(|place| waits(*place))
    }

    pub(crate) fn closes_channel(&self) -> bool {
        self.works.iter().any(|work| matches!(work, Work::CloseChannel))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.application.is_idle()
    }
}

impl Link {
    fn new(room: usize) -> Self {
        Self {
            room,
            queue: VecDeque::new(),
            down: VecDeque::new(),
            up: VecDeque::new(),
            primary_end: End::Open,
            worker_end: End::Open,
            held: false,
            end_seen: false,
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.primary_end == End::Open && self.worker_end == End::Open
    }

    /// The worker has received all, and nothing more can come.
    pub(crate) fn is_at_end_for_worker(&self) -> bool {
        let ended = match self.primary_end {
            End::Open => false,
            End::Ending => self.queue.is_empty(),
            End::Closed => true,
        };
        ended && self.down.is_empty() && self.worker_end == End::Open && !self.end_seen
    }

    /// The primary has received all, and nothing more can come.
    pub(crate) fn is_at_end_for_primary(&self) -> bool {
        let ended = self.worker_end == End::Closed && !self.held;
        ended && self.up.is_empty() && self.primary_end != End::Closed
    }
}

impl Application {
    fn new() -> Self {
        Self {
            requests: BTreeSet::new(),
            listeners: Vec::new(),
            adopted: BTreeMap::new(),
            passages: BTreeMap::new(),
            dropping: Vec::new(),
            data: Vec::new(),
            failed: Vec::new(),
            appetite: usize::MAX,
            returns: 0,
            blind: 0,
            serving: VecDeque::new(),
            busy: false,
            cordoned: false,
            watched: false,
            disconnected: false,
        }
    }

    fn is_idle(&self) -> bool {
        let alone = self.serving.is_empty() && self.dropping.is_empty();
        alone && self.requests.is_empty() && !self.busy
    }

    pub(crate) fn hear(&mut self, event: Event) {
        match event {
            Event::Listening { request, listener, address: _, data } => {
                assert!(self.requests.remove(&request), "an answer to a request, once");
                assert!(!self.listeners.contains(&listener), "a listener is had once");
                self.listeners.push(listener);
                self.data.push(data);
            }
            Event::ListenFailed { request, error } => {
                assert!(self.requests.remove(&request), "an answer to a request, once");
                self.failed.push(error);
            }
            Event::Closed { listener } => self.listeners.retain(|it| *it != listener),
            Event::Draining => {}
            Event::Cordoned { cordoned } => {
                let before = std::mem::replace(&mut self.cordoned, cordoned);
                assert_ne!(before, cordoned, "told when it changes");
            }
            Event::Disconnect => {
                let before = std::mem::replace(&mut self.disconnected, true);
                assert!(!before, "disconnected once");
                assert!(self.listeners.is_empty(), "no listener without a channel");
            }
        }
    }
}
