//! Every short life of one worker, as the primary sees it.

mod duties;
mod letter;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster_core::primary::{Event, Input, Primary};
use cluster_core::{
    Config, ExitStatus, HandleName, HandleToken, HandoffId, ListenSpec, ListenerId, OsError,
    Output, Overload, Pid, Reason, RequestId, Schedule, Sharing, Signal, SlotId, ToPrimary,
    WorkerId,
};

use super::{Trial, every_sequence};
use crate::world::{epoch, tcp};

use letter::Letter::{self, *};
use letter::{ALPHABET, CHANGES};

/// What the host promises rules most sequences out: `Spawn` is answered once and before all
/// else about the worker, its end of the channel and its exit are reported once each and after
/// all that it said, `Listen` is answered once, and what is accepted comes from a listener.
/// Whether the exit or the end of the channel comes first is open.
#[test]
fn every_life_from_its_fork() {
    every_sequence("from the fork", &ALPHABET, 6, || Life::begin(&[], Promises::Kept));
}

/// As before, in a worker that shares a listener and has not taken a connection yet.
#[test]
fn every_life_while_it_listens() {
    let before = [Spawned, Online, Listen, Bound, Listening, Accepted];
    every_sequence("listening", &ALPHABET, 6, || Life::begin(&before, Promises::Kept));
}

/// As before, with a second worker that shares the listener and never takes anything.
#[test]
fn every_life_beside_another() {
    let before = [Spawned, Online, Listen, Bound];
    every_sequence("beside another", &ALPHABET, 5, || {
        let mut life = Life::begin(&before, Promises::Kept);
        life.add_sibling();
        life.apply(Accepted);
        life
    });
}

/// As before, where the kernel shares what the worker listens on.
#[test]
fn every_life_with_copies() {
    every_sequence("with copies, from the fork", &ALPHABET, 6, || {
        Life::begin_under(Schedule::None, &[], Promises::Kept)
    });
    let before = [Spawned, Online, Listen, Bound];
    every_sequence("with copies, beside another", &ALPHABET, 5, || {
        let mut life = Life::begin_under(Schedule::None, &before, Promises::Kept);
        life.add_sibling();
        life
    });
    every_sequence("with copies, broken promises", &ALPHABET, 4, || {
        Life::begin_under(Schedule::None, &before, Promises::Broken)
    });
}

/// As before, where each worker has a socket of its own.
#[test]
fn every_life_with_sockets() {
    every_sequence("with sockets, from the fork", &ALPHABET, 6, || {
        Life::begin_under(Schedule::Sharded, &[], Promises::Kept)
    });
    let before = [Spawned, Online, Listen, Bound, Listening];
    every_sequence("with sockets, beside another", &ALPHABET, 4, || {
        let mut life = Life::begin_under(Schedule::Sharded, &before, Promises::Kept);
        life.add_sibling();
        life
    });
    every_sequence("with sockets, broken promises", &ALPHABET, 4, || {
        Life::begin_under(Schedule::Sharded, &before, Promises::Broken)
    });
}

/// As before, where ends are counted, and what is too much is closed.
#[test]
fn every_life_under_a_schedule_that_counts() {
    let before = [Spawned, Online, Listen, Bound, Listening, Accepted];
    every_sequence("counted, listening", &ALPHABET, 5, || {
        Life::begin_under(Schedule::LeastLoaded, &before, Promises::Kept)
    });
}

/// As before, while other schedules come into force.
#[test]
fn every_life_under_changing_schedules() {
    let alphabet = [&ALPHABET[..], &CHANGES].concat();
    every_sequence("changing, from the fork", &alphabet, 5, || Life::begin(&[], Promises::Kept));
    let before = [Spawned, Online, Listen, Bound, Listening];
    for schedule in [Schedule::RoundRobin, Schedule::None, Schedule::Sharded] {
        let mut before = before.to_vec();
        before.extend((schedule == Schedule::RoundRobin).then_some(Accepted));
        every_sequence("changing, listening", &alphabet, 4, || {
            Life::begin_under(schedule, &before, Promises::Kept)
        });
        every_sequence("changing, broken promises", &alphabet, 3, || {
            Life::begin_under(schedule, &before, Promises::Broken)
        });
    }
}

/// A host that promises nothing, and a worker that says anything at any time, cannot make the
/// primary panic, lose a descriptor, or tell an end twice.
#[test]
fn every_broken_promise() {
    every_sequence("broken promises", &ALPHABET, 4, || Life::begin(&[], Promises::Broken));
    let before = [Spawned, Online, Listen, Bound, Listening, Accepted];
    every_sequence("broken later", &ALPHABET, 4, || Life::begin(&before, Promises::Broken));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promises {
    Kept,
    Broken,
}

/// One worker's life, and what is known of it.
#[derive(Debug)]
struct Life {
    primary: Primary,
    now: Instant,
    worker: WorkerId,
    promises: Promises,
    /// The one in force.
    schedule: Schedule,
    /// How each listener is shared, as the schedule had it when it was first asked for.
    shared: BTreeMap<ListenerId, Sharing>,
    facts: Facts,
    told: Told,
    tokens: u64,
    held: BTreeSet<HandleName>,
    /// What was put into the worker's passages, and is there or taken.
    in_flight: Vec<(HandoffId, ListenerId)>,
    /// What is to be taken back.
    wanted_back: Vec<ListenerId>,
    /// The listeners for which the worker has a passage.
    passages: BTreeSet<ListenerId>,
    /// Listeners that were asked for, and their sockets once they are bound, with whether the
    /// primary accepts from them.
    binding: BTreeSet<ListenerId>,
    bound: BTreeMap<ListenerId, BTreeMap<SlotId, bool>>,
    opening: BTreeSet<(ListenerId, SlotId)>,
    /// Listeners whose queues are asked for.
    inspected: BTreeSet<ListenerId>,
    /// No descriptor is left for the next grant.
    exhausted: bool,
    farewells: u32,
}

/// What was reported to the primary.
#[derive(Debug, Default)]
struct Facts {
    spawned: bool,
    failed: bool,
    exited: bool,
    closed: bool,
    /// It was asked to leave or said so, while that was still possible.
    left: bool,
}

/// What the primary told.
#[derive(Debug, Default)]
struct Told {
    forked: bool,
    failed: bool,
    draining: bool,
    online: bool,
    disconnected: bool,
    exited: bool,
    ended: bool,
}

impl Life {
    fn begin(before: &[Letter], promises: Promises) -> Self {
        Self::begin_under(Schedule::RoundRobin, before, promises)
    }

    fn begin_under(schedule: Schedule, before: &[Letter], promises: Promises) -> Self {
        let config = Config::new(schedule, 2, 2).expect("sensible");
        let config = config.with_budget(3).expect("sensible");
        let sheds = schedule == Schedule::LeastLoaded;
        let config = config.with_overload(if sheds { Overload::Close } else { Overload::Wait });
        let mut primary = Primary::new(config);
        let worker = primary.fork().expect("room");
        let mut life = Self {
            primary,
            now: EPOCH.with(|epoch| *epoch),
            worker,
            promises,
            schedule,
            shared: BTreeMap::new(),
            facts: Facts::default(),
            told: Told::default(),
            tokens: 0,
            held: BTreeSet::new(),
            in_flight: Vec::new(),
            wanted_back: Vec::new(),
            passages: BTreeSet::new(),
            binding: BTreeSet::new(),
            bound: BTreeMap::new(),
            opening: BTreeSet::new(),
            inspected: BTreeSet::new(),
            exhausted: false,
            farewells: 0,
        };
        life.drain();
        for letter in before {
            assert!(life.allows(*letter), "{letter:?}");
            life.apply(*letter);
        }
        life
    }

    fn add_sibling(&mut self) {
        let sibling = self.primary.fork().expect("room");
        self.drain();
        self.tell(Input::Spawned { worker: sibling, pid: Pid(2) });
        let message = ToPrimary::Listen { request: RequestId(1), spec: ListenSpec::new(tcp(80)) };
        self.tell(Input::Received { worker: sibling, message, handle: None });
    }

    /// Whether the host's promises let this happen now.
    fn is_promised(&self, letter: Letter) -> bool {
        let facts = &self.facts;
        let speaks = facts.spawned && !facts.closed && !facts.exited;
        match letter {
            Spawned | SpawnFailed => !facts.spawned && !facts.failed,
            Exited => facts.spawned && !facts.exited,
            ChannelClosed => facts.spawned && !facts.closed,
            Taken => speaks && !self.in_flight.is_empty(),
            Online | Listen | Listening | Close | Leaving | TakenStray | TakenBackStray
            | Returned | Finished | Awake | Unexpected | Reported => speaks,
            // The one comes with what the worker closes, the other with a grant.
            TakenBack | LendFailed => false,
            // It is news before the next grant.
            Exhausted => !self.exhausted && self.passages.is_empty(),
            Bound | BindFailed => !self.binding.is_empty(),
            SlotOpened | SlotFailed => !self.opening.is_empty(),
            Queued | NothingQueued => !self.inspected.is_empty(),
            // What is accepted before accepting pauses is on its way.
            Accepted | AcceptFailed => {
                let first = self.bound.keys().next();
                first.is_some_and(|it| self.shared[it] != Sharing::Kernel)
            }
            Disconnect | DisconnectAll | Kill | Cordon | Uncordon | EndChannel | SecondPasses
            | GoesRound | Counts | Shares | Shards => true,
        }
    }

    fn command(&mut self, letter: Letter) {
        let (worker, second) = (self.worker, Some(Duration::from_secs(1)));
        let there = self.primary.workers().any(|it| it == worker);
        let hears = !self.told.ended && !self.facts.closed && !self.facts.exited;
        self.facts.left |= hears && matches!(letter, Disconnect | DisconnectAll);
        let result = match letter {
            Disconnect => self.primary.disconnect(self.now, worker, second),
            Kill => self.primary.kill(worker, Signal::TERM),
            Cordon => self.primary.cordon(worker),
            Uncordon => self.primary.uncordon(worker),
            EndChannel => self.primary.close_channel(worker),
            _ => {
                self.farewells += 1;
                let id = self.primary.disconnect_all(self.now, None);
                return assert_eq!(id.0, self.farewells, "each has a name of its own");
            }
        };
        assert_eq!(result.is_ok(), there, "a command finds a worker there is");
    }

    fn says(&self, letter: Letter) -> ToPrimary {
        let listener = self.bound.keys().next().copied().unwrap_or(ListenerId(1));
        match letter {
            Online => ToPrimary::Online,
            Listen => ToPrimary::Listen { request: RequestId(1), spec: ListenSpec::new(tcp(80)) },
            Listening => ToPrimary::Listening { listener },
            Close => ToPrimary::Close { listener },
            Returned => ToPrimary::Returned { listener, peer: None },
            Finished => ToPrimary::Finished { count: 1 },
            Awake => ToPrimary::Awake,
            Reported => ToPrimary::Reported,
            Leaving => ToPrimary::Leaving,
            _ => ToPrimary::Close { listener: ListenerId(99) },
        }
    }

    fn fact(&mut self, letter: Letter) -> Input {
        let worker = self.worker;
        let bound = self.bound.keys().next().copied().unwrap_or(ListenerId(1));
        let binding = self.binding.pop_first().unwrap_or(ListenerId(1));
        let handoff = self.in_flight.first().map_or(HandoffId(1), |(handoff, _)| *handoff);
        let error = OsError(1);
        match letter {
            Spawned => Input::Spawned { worker, pid: Pid(1) },
            SpawnFailed => Input::SpawnFailed { worker, error },
            Exited => Input::Exited { worker, status: ExitStatus::Code(0) },
            ChannelClosed => Input::ChannelClosed { worker },
            Taken => Input::Taken { worker, handoff },
            TakenBack => Input::TakenBack { worker, handoff },
            TakenStray => Input::Taken { worker, handoff: HandoffId(99) },
            TakenBackStray => Input::TakenBack { worker, handoff: HandoffId(99) },
            Bound => {
                self.bound.insert(binding, BTreeMap::from([(SlotId(0), false)]));
                Input::ListenDone { listener: binding, result: Ok(tcp(80)) }
            }
            BindFailed => Input::ListenDone { listener: binding, result: Err(error) },
            SlotOpened | SlotFailed => {
                let stray = (ListenerId(1), SlotId(1));
                let (listener, slot) = self.opening.pop_first().unwrap_or(stray);
                let opens = letter == SlotOpened;
                if let Some(slots) = self.bound.get_mut(&listener).filter(|_| opens) {
                    slots.insert(slot, false);
                }
                let result = if opens { Ok(()) } else { Err(error) };
                Input::SlotOpened { listener, slot, result }
            }
            Queued | NothingQueued => {
                let listener = self.inspected.pop_first().unwrap_or(bound);
                let queued = vec![u32::from(letter == Queued); 3];
                Input::Inspected { listener, queued }
            }
            LendFailed => {
                Input::LendFailed { worker, request: RequestId(1), listener: bound, error }
            }
            Accepted => Input::Accepted { listener: bound, connection: self.token(), peer: None },
            AcceptFailed => Input::AcceptFailed { listener: bound, error },
            SecondPasses => Input::Timeout,
            Returned | Unexpected => {
                let handle = Some(self.token());
                Input::Received { worker, message: self.says(letter), handle }
            }
            _ => Input::Received { worker, message: self.says(letter), handle: None },
        }
    }

    fn token(&mut self) -> HandleToken {
        self.tokens += 1;
        self.held.insert(HandleName(self.tokens));
        HandleToken::new(HandleName(self.tokens))
    }

    fn tell(&mut self, input: Input) {
        self.primary.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.primary.poll_output() {
                Output::Action(action) => self.check_action(action),
                Output::Event(event) => self.check_event(&event),
                Output::Wait(at) => {
                    assert_eq!(self.primary.poll_output(), Output::Wait(at), "polled again");
                    break;
                }
            }
        }
        assert_eq!(self.primary.connections(), self.held.len(), "what came in is held or out");
        let alone = self.primary.workers().all(|it| it == self.worker);
        let listens = !self.bound.is_empty() || !self.binding.is_empty();
        if self.promises == Promises::Kept && alone && !listens {
            assert_eq!(self.held.len(), self.in_flight.len(), "nothing waits for nobody");
        }
        let kills = self.primary.next_deadline().map(|(_, why)| why);
        assert!(!self.told.exited || kills != Some(Reason::KillAfter(self.worker)), "too late");
        assert_eq!(self.primary.workers().any(|it| it == self.worker), !self.is_over());
        let flag = self.primary.exited_after_disconnect(self.worker);
        assert!(self.is_over() || !self.told.draining || flag == Some(true), "who drains leaves");
    }

    /// What lies in the passage of a listener comes back.
    fn take_back(&mut self, listener: ListenerId) {
        if self.promises == Promises::Broken {
            return;
        }
        while let Some(place) = self.in_flight.iter().position(|(_, of)| *of == listener) {
            let (handoff, _) = self.in_flight.remove(place);
            self.tell(Input::TakenBack { worker: self.worker, handoff });
        }
    }

    fn has_slot(&self, listener: ListenerId, slot: SlotId) -> bool {
        self.bound.get(&listener).is_some_and(|slots| slots.contains_key(&slot))
    }

    fn is_over(&self) -> bool {
        self.told.failed || self.told.disconnected && self.told.exited
    }

    fn check_event(&mut self, event: &Event) {
        let (kept, told) = (self.promises == Promises::Kept, &mut self.told);
        let once = |before: &mut bool| assert!(!std::mem::replace(before, true), "told once");
        match *event {
            Event::Fork { worker, .. } if worker == self.worker => {
                assert!(!told.draining && !told.disconnected || !kept, "the first event");
                once(&mut told.forked);
            }
            Event::SpawnFailed { .. } => {
                assert!(!told.forked && !told.draining, "the only event");
                once(&mut told.failed);
            }
            Event::Online { .. } => once(&mut told.online),
            Event::Draining { worker } if worker == self.worker => {
                assert!(told.forked, "forked first");
                assert!(!told.disconnected && !told.exited || !kept, "too late");
                once(&mut told.draining);
            }
            Event::Disconnect { worker, exited_after_disconnect } if worker == self.worker => {
                assert!(told.forked || !kept, "forked first");
                assert!(exited_after_disconnect == self.facts.left || !kept, "who left");
                once(&mut told.disconnected);
            }
            Event::Exit { worker, exited_after_disconnect, .. } => {
                assert_eq!(worker, self.worker);
                assert!(told.forked, "forked first");
                assert!(exited_after_disconnect == self.facts.left || !kept, "who left");
                once(&mut told.exited);
            }
            Event::Farewell { .. } => assert!(self.is_over(), "told when all are gone"),
            Event::Fork { .. }
            | Event::Draining { .. }
            | Event::Disconnect { .. }
            | Event::Listening { .. }
            | Event::AcceptFailed { .. } => {}
        }
        if self.is_over() {
            assert!(self.primary.state(self.worker).is_none(), "gone before the second is told");
        }
    }

    /// What the letter makes known, before the primary hears it.
    fn note(&mut self, letter: Letter) {
        match letter {
            Spawned => self.facts.spawned = true,
            SpawnFailed => self.facts.failed = true,
            Leaving => self.facts.left |= !self.facts.closed && !self.facts.exited,
            Taken | TakenBack if !self.in_flight.is_empty() => drop(self.in_flight.remove(0)),
            Exited => {
                self.facts.exited = true;
                self.in_flight.clear();
                self.passages.clear();
            }
            ChannelClosed => {
                self.facts.closed = true;
                self.in_flight.clear();
                self.passages.clear();
            }
            Exhausted => self.exhausted = true,
            SecondPasses => self.now += Duration::from_secs(1),
            _ => {}
        }
    }
}

impl Trial for Life {
    type Letter = Letter;

    fn allows(&self, letter: Letter) -> bool {
        self.promises == Promises::Broken || self.is_promised(letter)
    }

    fn apply(&mut self, letter: Letter) {
        if let Disconnect | DisconnectAll | Kill | Cordon | Uncordon | EndChannel = letter {
            self.command(letter);
            self.drain();
        } else if let Some(schedule) = letter.schedule() {
            self.schedule = schedule;
            self.primary.set_schedule(self.now, schedule).expect("sensible");
            self.drain();
        } else if letter == Exhausted {
            self.note(letter);
        } else {
            let input = self.fact(letter);
            self.note(letter);
            let closed = match &input {
                Input::Received { message: ToPrimary::Close { listener }, .. } => Some(*listener),
                _ => None,
            };
            self.tell(input);
            if let Some(listener) = closed {
                self.passages.remove(&listener);
                self.take_back(listener);
            }
            while let Some(listener) = self.wanted_back.pop() {
                self.take_back(listener);
            }
        }
    }
}

thread_local! {
    /// All lives of one test begin at the same moment, or no two states would be the same.
    static EPOCH: Instant = epoch();
}
