//! The machine inside the primary process.

mod gates;
mod hand_off;
mod leaving;
mod minding;
mod sharing;
mod spreading;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::config::{Config, ConfigError};
use crate::control::{ToPrimary, ToWorker};
use crate::deadlines::{Deadlines, Reason};
use crate::id::{FarewellId, ListenerId, Pid, WorkerId};
use crate::ledger::Ledger;
use crate::life::{Fact, Life, News};
use crate::limits::WORKERS_MAX;
use crate::listeners::Listeners;
#[cfg(debug_assertions)]
use crate::listeners::{Gate, Listener};
use crate::output::Output;
#[cfg(debug_assertions)]
use crate::schedule::Sharing;
use crate::schedule::{Candidate, Schedule};
use crate::status::{ExitStatus, Signal, WorkerState};

use leaving::Farewell;

pub use vocabulary::{Action, Close, Event, Input, TooManyWorkers, UnknownWorker};

/// Decides for the primary: which workers there are, what they share, who gets the next
/// connection, and when a worker that does not end is killed.
///
/// Its methods are of four families:
///
/// * **commands**, from the application: [`fork`](Self::fork), [`disconnect`](Self::disconnect),
///   [`disconnect_all`](Self::disconnect_all), [`kill`](Self::kill), [`cordon`](Self::cordon),
///   [`uncordon`](Self::uncordon), [`close_channel`](Self::close_channel),
///   [`set_schedule`](Self::set_schedule);
/// * **facts** from the world: [`handle_input`](Self::handle_input), which cannot fail;
/// * **outputs**: [`poll_output`](Self::poll_output), to be drained until it answers
///   [`Output::Wait`] after each command and each fact;
/// * **getters**, which change nothing.
#[derive(Debug)]
pub struct Primary {
    config: Config,
    workers: BTreeMap<WorkerId, Life>,
    cordoned: BTreeSet<WorkerId>,
    listeners: Listeners,
    ledger: Ledger,
    farewells: Vec<Farewell>,
    deadlines: Deadlines,
    outputs: VecDeque<Output<Action, Event>>,
    forked: u32,
    said_farewell: u32,
    /// How many times the schedule was asked.
    chosen: u64,
    /// Room for what the schedule sees, kept for the next time.
    candidates: Vec<Candidate>,
    /// All gates are shut because the budget is used up.
    over_budget: bool,
    /// Listeners of which no more may wait for the sake of others.
    crowding: BTreeSet<ListenerId>,
    /// The latest moment that it was told of.
    now: Option<Instant>,
    tokens_in: u64,
    tokens_out: u64,
}

/// Commands.
impl Primary {
    /// A primary without workers.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            workers: BTreeMap::new(),
            cordoned: BTreeSet::new(),
            listeners: Listeners::default(),
            ledger: Ledger::default(),
            farewells: Vec::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            forked: 0,
            said_farewell: 0,
            chosen: 0,
            candidates: Vec::new(),
            over_budget: false,
            crowding: BTreeSet::new(),
            now: None,
            tokens_in: 0,
            tokens_out: 0,
        }
    }

    /// Starts a worker. The answer to its [`Action::Spawn`] is [`Input::Spawned`] or
    /// [`Input::SpawnFailed`].
    ///
    /// # Errors
    ///
    /// If there are [`WORKERS_MAX`] workers already.
    pub fn fork(&mut self) -> Result<WorkerId, TooManyWorkers> {
        let worker = self.forked.checked_add(1).and_then(WorkerId::new).ok_or(TooManyWorkers)?;
        if self.workers.len() >= WORKERS_MAX {
            return Err(TooManyWorkers);
        }
        self.forked += 1;
        self.workers.insert(worker, Life::new());
        self.act(Action::Spawn { worker });
        Ok(worker)
    }

    /// Asks a worker to leave gracefully. Asking again changes nothing, but that the earlier of
    /// two `kill_after` is in force.
    ///
    /// With `kill_after`, the worker is killed if its process has not ended by then.
    ///
    /// # Errors
    ///
    /// If there is no such worker (any more).
    pub fn disconnect(
        &mut self,
        now: Instant,
        worker: WorkerId,
        kill_after: Option<Duration>,
    ) -> Result<(), UnknownWorker> {
        self.known(worker)?;
        self.now = Some(now);
        self.ask_to_leave(now, worker, kill_after);
        Ok(())
    }

    /// Asks all workers to leave gracefully, as [`disconnect`](Self::disconnect) does.
    /// [`Event::Farewell`] with the name returned tells when all of them have both
    /// disconnected and ended.
    pub fn disconnect_all(&mut self, now: Instant, kill_after: Option<Duration>) -> FarewellId {
        let all: Vec<_> = self.workers.keys().copied().collect();
        self.now = Some(now);
        self.said_farewell += 1;
        let id = FarewellId(self.said_farewell);
        self.farewells.push(Farewell::new(id, &all));
        for worker in all {
            self.ask_to_leave(now, worker, kill_after);
        }
        self.tell_farewells();
        id
    }

    /// Sends a signal to a worker's process, at once, or as soon as there is one. To one that
    /// has ended, it does nothing.
    ///
    /// # Errors
    ///
    /// If there is no such worker (any more).
    pub fn kill(&mut self, worker: WorkerId, signal: Signal) -> Result<(), UnknownWorker> {
        self.known(worker)?;
        self.signal(worker, signal);
        Ok(())
    }

    /// Lets a worker have no new connections, and go on with those it has. It keeps its
    /// listeners. What it was handed and has not taken it still may take. Again, it changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// If there is no such worker (any more).
    pub fn cordon(&mut self, worker: WorkerId) -> Result<(), UnknownWorker> {
        self.known(worker)?;
        self.set_cordon(worker, true);
        Ok(())
    }

    /// Lets a worker that was cordoned off have connections again.
    ///
    /// # Errors
    ///
    /// If there is no such worker (any more).
    pub fn uncordon(&mut self, worker: WorkerId) -> Result<(), UnknownWorker> {
        self.known(worker)?;
        self.set_cordon(worker, false);
        Ok(())
    }

    /// Ends the channel to a worker without asking it to leave. The worker takes this for an
    /// accident and exits at once with status 0 (Node: `worker.process.disconnect()`).
    ///
    /// # Errors
    ///
    /// If there is no such worker (any more).
    pub fn close_channel(&mut self, worker: WorkerId) -> Result<(), UnknownWorker> {
        if self.known(worker)?.is_connected() {
            self.learn(worker, Fact::Ended);
            self.unshare(worker);
            self.act(Action::EndChannel { worker });
        }
        Ok(())
    }

    /// From now on, another schedule chooses, for connections that wait, too.
    ///
    /// How the socket of a listener is shared was decided when the address was first listened on,
    /// and stays so until nobody listens there any more. If the new schedule shares sockets
    /// otherwise, it is in force for addresses that are first listened on later, and connections
    /// of the others that are handed over go round, as under [`Schedule::RoundRobin`].
    ///
    /// # Errors
    ///
    /// If a sticky schedule is bound to less than an equal part. Nothing has changed then.
    pub fn set_schedule(&mut self, now: Instant, schedule: Schedule) -> Result<(), ConfigError> {
        let counted = self.config.schedule().counts();
        self.config = self.config.with_schedule(schedule)?;
        self.now = Some(now);
        if schedule.counts() != counted {
            self.want_reports(schedule.counts());
        }
        self.dispatch_all();
        Ok(())
    }

    fn known(&self, worker: WorkerId) -> Result<&Life, UnknownWorker> {
        self.workers.get(&worker).ok_or(UnknownWorker(worker))
    }
}

/// Facts and outputs.
impl Primary {
    /// Takes a fact in. Facts about workers, listeners or hand-offs that are gone, and facts
    /// that are known already, change nothing.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = Some(now);
        match input {
            Input::Spawned { worker, pid } => self.learn(worker, Fact::Spawned(pid)),
            Input::SpawnFailed { worker, error } => self.spawn_failed(worker, error),
            Input::Received { worker, message, handle } => {
                self.tokens_in += u64::from(handle.is_some());
                match (message, handle) {
                    (ToPrimary::Returned { listener, peer }, Some(token)) => {
                        self.returned(worker, listener, token, peer);
                    }
                    (message, handle) => {
                        if let Some(token) = handle {
                            self.close(token, Close::Unexpected);
                        }
                        self.received(worker, message);
                    }
                }
            }
            Input::ChannelClosed { worker } => self.channel_closed(worker),
            Input::Taken { worker, handoff } => self.taken(worker, handoff),
            Input::TakenBack { worker, handoff } => self.taken_back(worker, handoff),
            Input::Exited { worker, status } => self.exited(worker, status),
            Input::ListenDone { listener, result } => self.listen_done(listener, result),
            Input::SlotOpened { listener, slot, result } => {
                self.slot_opened(listener, slot, result);
            }
            Input::Inspected { listener, queued } => self.inspected(listener, &queued),
            Input::LendFailed { worker, request, listener, error } => {
                self.lend_failed(worker, request, listener, error);
            }
            Input::Accepted { listener, connection, peer } => {
                self.tokens_in += 1;
                self.accepted(listener, connection, peer);
            }
            Input::AcceptFailed { listener, error } => self.accept_failed(now, listener, error),
            Input::Timeout => self.timeout(now),
        }
    }

    /// The next output. Drain it until [`Output::Wait`]; polled again, it waits again.
    pub fn poll_output(&mut self) -> Output<Action, Event> {
        self.outputs.pop_front().unwrap_or_else(|| {
            #[cfg(debug_assertions)]
            self.check();
            Output::Wait(self.deadlines.next().map(|(at, _)| at))
        })
    }

    fn received(&mut self, worker: WorkerId, message: ToPrimary) {
        if !self.workers.get(&worker).is_some_and(Life::speaks) {
            return;
        }
        match message {
            ToPrimary::Online => self.learn(worker, Fact::Online),
            ToPrimary::Listen { request, spec } => self.wants_to_listen(worker, request, spec),
            ToPrimary::Listening { listener } => self.is_listening(worker, listener),
            ToPrimary::Close { listener } => self.unshare_one(worker, listener),
            ToPrimary::Finished { count } => self.finished(worker, count),
            ToPrimary::Reported => self.reported(worker),
            ToPrimary::Awake => self.is_awake(worker),
            ToPrimary::Leaving => self.says_it_leaves(worker),
            // Without its descriptor there is nothing to return.
            ToPrimary::Returned { .. } => {}
        }
    }

    /// Lets a worker's life take a fact in, and tells what is news.
    fn learn(&mut self, worker: WorkerId, fact: Fact) {
        let Some(life) = self.workers.get_mut(&worker) else { return };
        let news = life.learn(fact);
        let exited_after_disconnect = life.exited_after_disconnect().unwrap_or(false);
        let leaving = life.is_leaving();
        let over = life.is_over();
        if over {
            // Gone from the table before the last of the two events is seen.
            self.workers.remove(&worker);
            self.cordoned.remove(&worker);
        }
        match news {
            None | Some(News::Listening) => {}
            Some(News::Fork(pid, pending)) => {
                self.tell(Event::Fork { worker, pid });
                if leaving {
                    self.tell(Event::Draining { worker });
                }
                pending.into_iter().for_each(|signal| self.act(Action::Signal { worker, signal }));
            }
            Some(News::Online) => self.tell(Event::Online { worker }),
            Some(News::Draining) => self.tell(Event::Draining { worker }),
            Some(News::Disconnect) => {
                self.tell(Event::Disconnect { worker, exited_after_disconnect });
            }
            Some(News::Exit(pid, status)) => {
                self.tell(Event::Exit { worker, pid, status, exited_after_disconnect });
            }
        }
        if over {
            self.tell_farewells();
        }
    }

    fn act(&mut self, action: Action) {
        self.outputs.push_back(Output::Action(action));
    }

    /// Says something to a worker, if there still is somebody to hear it.
    fn send(&mut self, worker: WorkerId, message: ToWorker) {
        if self.workers.get(&worker).is_some_and(Life::hears) {
            self.act(Action::Send { worker, message });
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Getters.
impl Primary {
    /// The workers there are, in the order of their numbers. A worker is among them from
    /// [`fork`](Self::fork) until it has both disconnected and exited.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.keys().copied()
    }

    /// Where a worker stands.
    pub fn state(&self, worker: WorkerId) -> Option<WorkerState> {
        self.workers.get(&worker).map(Life::state)
    }

    /// A worker's process number, once it has one.
    pub fn pid(&self, worker: WorkerId) -> Option<Pid> {
        self.workers.get(&worker)?.pid()
    }

    /// How a worker's process ended, once it has.
    pub fn exit_status(&self, worker: WorkerId) -> Option<ExitStatus> {
        self.workers.get(&worker)?.exit_status()
    }

    /// Whether a worker left because it was asked to or said so: `None` until that is known.
    pub fn exited_after_disconnect(&self, worker: WorkerId) -> Option<bool> {
        self.workers.get(&worker)?.exited_after_disconnect()
    }

    /// Whether the channel to a worker is open: neither side has ended it.
    pub fn is_connected(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(Life::is_connected)
    }

    /// Whether a worker's process has ended (or there is no such worker).
    pub fn is_dead(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_none_or(Life::is_dead)
    }

    /// Whether a worker is cordoned off.
    pub fn is_cordoned(&self, worker: WorkerId) -> bool {
        self.cordoned.contains(&worker)
    }

    /// How many connections a worker has: untaken ones, and those that it has taken and, as far
    /// as it reports that, not finished. It reports under schedules that
    /// [count](Schedule::counts).
    pub fn load(&self, worker: WorkerId) -> (usize, usize) {
        let counted = self.config.schedule().counts();
        let load = |account: &Account| (account.untaken, account.open(counted));
        self.ledger.account(worker).map_or((0, 0), load)
    }

    /// Whether a worker may soon have no room for more, as far as is known: what it has taken
    /// meanwhile matters.
    pub fn is_pressed(&self, worker: WorkerId) -> bool {
        self.ledger.account(worker).is_some_and(Account::is_pressed)
    }

    /// How many connections wait or are in flight: accepted, and taken by no worker.
    pub fn connections(&self) -> usize {
        self.ledger.len()
    }

    /// Whether connections wait for a worker to take one.
    pub fn is_crowded(&self) -> bool {
        self.over_budget || self.ledger.has_waiting()
    }

    /// The next deadline and why it exists.
    pub fn next_deadline(&self) -> Option<(Instant, Reason)> {
        self.deadlines.next()
    }
}

/// What must hold whenever the outputs are drained.
#[cfg(debug_assertions)]
impl Primary {
    fn check(&self) {
        let held = self.tokens_in - self.tokens_out;
        assert_eq!(held, self.ledger.len() as u64, "each token leaves through one action");
        for worker in self.ledger.workers_in_flight() {
            let life = self.workers.get(&worker).expect("in flight to a worker there is");
            assert!(life.speaks(), "in flight to a worker that can still answer");
        }
        for worker in self.workers.keys() {
            let listed = self.ledger.workers_in_flight().filter(|it| it == worker).count();
            let account = self.ledger.account(*worker);
            assert_eq!(listed, account.map_or(0, |it| it.untaken), "counted as listed");
            let of: BTreeSet<_> = self.ledger.in_flight_to(*worker).map(|it| it.listener).collect();
            let most = self.config.window() + of.len();
            assert!(listed <= most, "no more than the window, and one of each listener");
            assert!(account.is_none_or(|it| it.window() <= self.config.window()), "nor more");
        }
        assert!(self.ledger.in_flight() <= self.config.budget(), "no more than the budget");
        for listener in self.listeners.iter() {
            assert!(!listener.is_unwanted(), "a listener that nobody wants is closed");
            for worker in listener.rotation.iter() {
                let life = self.workers.get(&worker).expect("shared by a worker there is");
                assert!(life.hears() && !life.is_leaving(), "shared by one that stays");
            }
            let affordable = self.ledger.len() < self.config.budget();
            assert!(affordable || listener.gate != Gate::Open, "shut when the budget is used up");
            Self::check_slots_of(listener);
        }
    }

    /// Each slot has somebody who accepts from it: its worker, or the primary while the gate is
    /// open.
    fn check_slots_of(listener: &Listener) {
        for slot in listener.slots.ids().filter_map(|slot| listener.slots.at(slot)) {
            let accepts = listener.gate == Gate::Open && listener.accepts_from(slot);
            assert_eq!(slot.accepting, accepts, "the primary accepts from the others");
        }
        if listener.sharing() == Some(Sharing::Sharded) {
            let targets = listener.slots.targets();
            assert_eq!(listener.slots.spread, targets, "the kernel knows who accepts");
        }
    }
}
