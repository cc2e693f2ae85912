//! A cluster in memory: the primary, its workers, their channels, a kernel and its clients.
//!
//! Nothing happens by itself: a [`Turn`] is one thing that can happen next. Messages, answers
//! and ends of processes wait until their turn comes, which is how delays are made; what is
//! promised about their order (one channel is first in, first out; all that a worker said is
//! received before its end is; the primary's host does one thing at a time) is all that holds a
//! turn back. The hosts' duties are asserted where they are carried out.

pub(crate) mod chance;
pub(crate) mod kernel;
pub(crate) mod process;
pub(crate) mod tally;
pub(crate) mod witness;

mod application;
mod passage;
mod primary_host;
mod retrieval;
mod words;
mod worker_host;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cluster_core::primary::Input;
use cluster_core::{
    Address, Config, ExitStatus, ListenerId, OsError, Primary, Schedule, Sharing, SlotId, WorkerId,
};

use chance::Chance;
use kernel::{Kernel, Number, Place};
use process::{End, Process, Stage, Work};
use retrieval::{Outgoing, Retrieval, Then};
use tally::Tally;
use witness::Witness;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) primary: Primary,
    pub(crate) processes: BTreeMap<WorkerId, Process>,
    pub(crate) kernel: Kernel,
    pub(crate) witness: Witness,
    pub(crate) tally: Tally,
    /// How processes ended, in the order in which they did.
    pub(crate) statuses: Vec<ExitStatus>,
    pub(crate) deadline: Option<Instant>,
    /// How many messages a pipe has room for.
    pub(crate) room: usize,
    /// Listeners whose queues the primary wants to know.
    inspected: BTreeSet<ListenerId>,
    /// What is to be taken back though the passage stays open.
    rescues: BTreeSet<(WorkerId, ListenerId)>,
    /// The passages that the primary's host puts connections into.
    outgoing: BTreeMap<(WorkerId, ListenerId), Outgoing>,
    /// What the primary's host is busy with.
    retrieval: Option<Retrieval>,
    /// What the operating system answers to the next spawns.
    pub(crate) spawn_error: Option<OsError>,
    config: Config,
    /// How each listener is shared, as was decided when it was first asked for.
    pub(crate) shared: BTreeMap<ListenerId, Sharing>,
    trace: Trace,
}

/// Where that is written down what is said in a world.
enum Trace {
    Nowhere,
    Kept(String),
    /// As it comes, for one who replays a seed.
    Printed,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Spawn(WorkerId),
    Bind(ListenerId),
    OpenSlot(Place),
    Inspect(ListenerId),
    WriteDown(WorkerId),
    ReadDown(WorkerId),
    Work(WorkerId),
    ReadUp(WorkerId),
    /// The primary's host puts into a worker's passages what they did not take before.
    Send(WorkerId),
    /// The primary's host looks what a worker has taken.
    Look(WorkerId),
    /// The primary's host begins to take back what is in a passage that stays open.
    Rescue(WorkerId, ListenerId),
    /// The primary's host takes the next connection back.
    TakeBack,
    Accept(Place),
    /// The worker takes a connection out of a passage.
    Take(WorkerId, Number),
    /// The worker closes its ends of passages that it has no use for.
    LetGo(WorkerId),
    /// The worker accepts from a socket that it has itself.
    AcceptOwn(WorkerId, Place),
    Finish(WorkerId),
    Idle(WorkerId),
    Return(WorkerId),
    EndDown(WorkerId),
    EndUp(WorkerId),
    Reap(WorkerId),
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            now: epoch(),
            primary: Primary::new(config),
            processes: BTreeMap::new(),
            kernel: Kernel::default(),
            witness: Witness::default(),
            tally: Tally::default(),
            statuses: Vec::new(),
            deadline: None,
            room: 64,
            inspected: BTreeSet::new(),
            rescues: BTreeSet::new(),
            outgoing: BTreeMap::new(),
            retrieval: None,
            spawn_error: None,
            config,
            shared: BTreeMap::new(),
            trace: Trace::Nowhere,
        }
    }

    /// A world that keeps what is said in it.
    pub(crate) fn traced() -> Self {
        Self::traced_with(Config::default())
    }

    /// One with settings of its own.
    pub(crate) fn traced_with(config: Config) -> Self {
        Self { trace: Trace::Kept(String::new()), ..Self::new(config) }
    }

    /// From now on, what is said is printed.
    pub(crate) fn print(&mut self) {
        self.trace = Trace::Printed;
    }

    /// All that can happen next, in the order in which [`drive`](Self::drive) would have it.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<_> = self.retrieval.iter().map(|_| Turn::TakeBack).collect();
        for (&worker, process) in &self.processes {
            if process.stage == Stage::Asked {
                turns.push(Turn::Spawn(worker));
            }
        }
        for (&place, socket) in &self.kernel.sockets {
            match (&socket.address, place) {
                (None, (listener, SlotId(0))) => turns.push(Turn::Bind(listener)),
                (None, place) => turns.push(Turn::OpenSlot(place)),
                (Some(_), _) => {}
            }
        }
        turns.extend(self.inspected.iter().map(|listener| Turn::Inspect(*listener)));
        turns.extend(self.rescues.iter().map(|(worker, of)| Turn::Rescue(*worker, *of)));
        turns.extend(self.unsent().map(Turn::Send));
        turns.extend(self.takers().map(Turn::Look));
        for (&worker, process) in &self.processes {
            turns.extend(process.turns(worker));
            let inside = |passage| self.kernel.inside(passage) > 0;
            turns.extend(process.next_to_take(inside).map(|it| Turn::Take(worker, it)));
            let waits = |place| !self.kernel.sockets[&place].backlog.is_empty();
            turns.extend(process.next_to_accept(waits).map(|it| Turn::AcceptOwn(worker, it)));
        }
        for (&place, socket) in &self.kernel.sockets {
            if socket.accepting && !socket.backlog.is_empty() {
                turns.push(Turn::Accept(place));
            }
        }
        if self.retrieval.is_some() {
            turns.retain(|turn| !turn.is_the_primarys());
        }
        turns
    }

    pub(crate) fn step(&mut self, turn: Turn) {
        self.tally.steps += 1;
        self.tally.deeds += usize::from(!matches!(turn, Turn::Inspect(_)));
        match turn {
            Turn::Spawn(worker) => self.spawn(worker),
            Turn::Bind(listener) => self.bind(listener),
            Turn::OpenSlot(place) => self.open_slot(place),
            Turn::Inspect(listener) => self.inspect(listener),
            Turn::WriteDown(worker) => self.write_down(worker),
            Turn::ReadDown(worker) => self.read_down(worker),
            Turn::Work(worker) => self.work(worker),
            Turn::ReadUp(worker) => self.read_up(worker),
            Turn::Accept(place) => self.accept(place),
            Turn::Send(worker) => self.send_again(worker),
            Turn::Look(worker) => self.look(worker),
            Turn::Rescue(worker, listener) => {
                self.rescues.remove(&(worker, listener));
                self.retrieve(worker, Some(listener), Then::GoOn);
            }
            Turn::TakeBack => self.take_back(),
            Turn::Take(worker, passage) => self.take(worker, passage),
            Turn::LetGo(worker) => self.let_go(worker),
            Turn::AcceptOwn(worker, place) => self.accept_own(worker, place),
            Turn::Finish(worker) => self.finish(worker),
            Turn::Idle(worker) => self.idle(worker),
            Turn::Return(worker) => self.end(worker, ExitStatus::Code(0)),
            Turn::EndDown(worker) => self.end_down(worker),
            Turn::EndUp(worker) => self.end_up(worker),
            Turn::Reap(worker) => self.reap(worker),
        }
    }

    /// Lets happen what can, without time passing.
    pub(crate) fn drive(&mut self) {
        self.drive_while(|_| true);
    }

    /// Lets happen what can, except what `allowed` forbids.
    pub(crate) fn drive_while(&mut self, allowed: impl Fn(Turn) -> bool) {
        let quiet =
            self.drive_bounded(100_000, |turns| turns.iter().copied().find(|turn| allowed(*turn)));
        assert!(quiet, "the world does not come to rest");
    }

    /// Lets at most `steps` things happen, each chosen by `choose`; says whether the world
    /// came to rest.
    pub(crate) fn drive_bounded(
        &mut self,
        steps: usize,
        mut choose: impl FnMut(&[Turn]) -> Option<Turn>,
    ) -> bool {
        for _ in 0..steps {
            let Some(turn) = choose(&self.turns()) else { return true };
            self.step(turn);
        }
        false
    }

    /// Lets at most `steps` things happen by chance; says whether the world came to rest.
    pub(crate) fn drive_by(&mut self, chance: &mut Chance, steps: usize) -> bool {
        self.drive_bounded(steps, |turns| chance.pick(turns))
    }

    /// Time passes; the primary is told when its deadline has come.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.finish_retrieval();
        self.trace(">", || format!("{time:?} pass"));
        self.now += time;
        if self.deadline.is_some_and(|at| at <= self.now) {
            self.tell_primary(Input::Timeout);
        }
    }

    /// Time passes until the primary's deadline, if it has one; says whether it has.
    pub(crate) fn pass_to_deadline(&mut self) -> bool {
        let Some(at) = self.deadline else { return false };
        self.pass(at.saturating_duration_since(self.now));
        true
    }

    pub(crate) fn trace(&mut self, who: &str, what: impl FnOnce() -> String) {
        match &mut self.trace {
            Trace::Nowhere => {}
            Trace::Kept(lines) => *lines += &format!("{who:<8} {}\n", what()),
            Trace::Printed => println!("{who:<8} {}", what()),
        }
    }

    /// What was said since the last transcript; there must be nothing more to say.
    pub(crate) fn transcript(&mut self) -> String {
        assert_eq!(self.turns(), [], "and nothing else");
        self.partial_transcript() + "and nothing else"
    }

    /// What was said since the last transcript, with something yet to come.
    pub(crate) fn partial_transcript(&mut self) -> String {
        match &mut self.trace {
            Trace::Kept(lines) => std::mem::take(lines),
            Trace::Nowhere | Trace::Printed => panic!("this world keeps no trace"),
        }
    }

    /// The schedule in force.
    pub(crate) const fn schedule(&self) -> Schedule {
        self.config.schedule()
    }

    pub(crate) fn process(&mut self, worker: WorkerId) -> &mut Process {
        self.processes.get_mut(&worker).expect("a worker there is")
    }
}

impl Turn {
    /// The primary's host does it, and so not while it does something else.
    const fn is_the_primarys(self) -> bool {
        match self {
            Self::Spawn(_)
            | Self::Bind(_)
            | Self::OpenSlot(_)
            | Self::Inspect(_)
            | Self::WriteDown(_)
            | Self::ReadUp(_)
            | Self::Send(_)
            | Self::Look(_)
            | Self::Rescue(..)
            | Self::Accept(_)
            | Self::EndUp(_)
            | Self::Reap(_) => true,
            Self::ReadDown(_)
            | Self::Work(_)
            | Self::TakeBack
            | Self::Take(..)
            | Self::LetGo(_)
            | Self::AcceptOwn(..)
            | Self::Finish(_)
            | Self::Idle(_)
            | Self::Return(_)
            | Self::EndDown(_) => false,
        }
    }
}

impl Process {
    fn turns(&self, worker: WorkerId) -> impl Iterator<Item = Turn> {
        let (link, application, runs) = (&self.link, &self.application, self.runs());
        let receives = runs && link.worker_end == End::Open && !link.end_seen;
        let works = match self.works.front() {
            Some(Work::Say(_)) => link.up.len() < link.room || link.primary_end == End::Closed,
            Some(Work::CloseChannel | Work::Later(_)) => true,
            None => false,
        };
        // First the agent says that it closes, and the application hears of it later.
        let drops = !application.dropping.is_empty() && self.works.is_empty();
        let left = application.disconnected && self.is_idle() && self.works.is_empty();
        let heard = link.up.is_empty() || link.primary_end == End::Closed;
        [
            (!link.queue.is_empty() && link.down.len() < link.room, Turn::WriteDown(worker)),
            (receives && !link.down.is_empty(), Turn::ReadDown(worker)),
            (runs && works, Turn::Work(worker)),
            (link.primary_end != End::Closed && !link.up.is_empty(), Turn::ReadUp(worker)),
            (runs && drops, Turn::LetGo(worker)),
            (runs && !application.serving.is_empty() && !application.busy, Turn::Finish(worker)),
            (runs && application.watched && self.is_idle(), Turn::Idle(worker)),
            (runs && left, Turn::Return(worker)),
            (runs && link.is_at_end_for_worker(), Turn::EndDown(worker)),
            (link.is_at_end_for_primary(), Turn::EndUp(worker)),
            (matches!(self.stage, Stage::Ended(_)) && heard, Turn::Reap(worker)),
        ]
        .into_iter()
        .filter_map(|(ready, turn)| ready.then_some(turn))
    }
}

/// The beginning of virtual time.
#[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// `port` on the loopback address.
pub(crate) fn tcp(port: u16) -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// `port` on the loopback address, for datagrams.
pub(crate) fn udp(port: u16) -> Address {
    Address::Udp(SocketAddr::from(([127, 0, 0, 1], port)))
}
