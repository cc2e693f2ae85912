//! One storm: incidents and turns, by chance; then calm, and the books are balanced.

use std::num::NonZeroU32;
use std::time::Duration;

use cluster_core::limits::STALLED_CHECK;
use cluster_core::primary::Close;
use cluster_core::{
    Address, Candidate, Choice, Config, ExitStatus, Key, ListenSpec, ListenerId, OsError, Overload,
    Reason, Rule, Schedule, Sharing, Signal, SlotId, UnixName, View, WorkerId, WorkerState,
};

use crate::world::chance::Chance;
use crate::world::kernel::{Connection, Holder, Number};
use crate::world::process::{End, Process, Stage};
use crate::world::{World, tcp, udp};

const WORKERS_MAX: usize = 6;

pub(super) struct Storm {
    pub(super) world: World,
    chance: Chance,
    /// How often another schedule came into force.
    pub(super) schedules: usize,
    slow_start: Duration,
    addresses: Vec<Address>,
    clients: usize,
    /// How many of a hundred moments bring an incident.
    fury: usize,
}

fn settings(chance: &mut Chance) -> Config {
    let schedule = schedule(chance);
    let (window, waiting) = (1 + chance.below(8), 1 + chance.below(32));
    let mut config = Config::new(schedule, waiting, window).expect("sensible");
    if chance.odds(50) {
        config = config.with_budget(1 + chance.below(12)).expect("sensible");
    }
    if chance.odds(30) {
        let time = Duration::from_millis(1 + chance.below(2000) as u64);
        config = config.with_slow_start(time);
    }
    let overload = if chance.odds(25) { Overload::Close } else { Overload::Wait };
    config.with_overload(overload).with_seed(chance.below(1000) as u64)
}

fn schedule(chance: &mut Chance) -> Schedule {
    let by = if chance.odds(50) { Key::PeerIp } else { Key::PeerNetwork };
    let bound = NonZeroU32::new(100 + u32::try_from(chance.below(100)).expect("small"));
    match chance.below(20) {
        0..=3 => Schedule::RoundRobin,
        4..=6 => Schedule::None,
        7..=13 => Schedule::Sharded,
        14 => Schedule::LeastLoaded,
        15 => Schedule::PowerOfTwo,
        16 => Schedule::Sticky { by, bound: None },
        17..=18 => Schedule::Sticky { by, bound },
        _ => Schedule::Custom(Rule(oldest_with_room)),
    }
}

/// A rule of one's own, which now and then answers what cannot be.
fn oldest_with_room(view: &View<'_>) -> Choice {
    let oldest = view.ready().map(|it| it.worker).min();
    let full = view.candidates().iter().find(|it: &&Candidate| !it.has_room).map(|it| it.worker);
    let chosen = if view.random(0).is_multiple_of(4) { full.or(oldest) } else { oldest };
    chosen.map_or(Choice::Wait, Choice::Worker)
}

/// What became of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Served,
    /// The primary closed it, and said why.
    Closed(Close),
    /// The worker that had taken it died.
    LostWithWorker,
    /// A worker gave it back when it had no channel any more.
    Dropped,
    /// Never accepted: the listener closed before.
    Reset,
}

impl Storm {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let config = settings(&mut chance);
        let mut world = World::new(config);
        world.room = 1 + chance.below(8);
        world.kernel.passage_room = chance.odds(30).then(|| 1 + chance.below(4));
        let (unix, inherited) = (UnixName(b"/x".to_vec()), 3);
        world.kernel.inherited.insert(inherited, tcp(81));
        let all = [
            tcp(80),
            tcp(0),
            udp(53),
            udp(0),
            tcp(40_001),
            Address::Unix(unix),
            Address::Inherited(inherited),
        ];
        let addresses = all[..=chance.below(all.len())].to_vec();
        let clients = 20 + chance.below(400);
        let fury = 1 + chance.below(20);
        let slow_start = config.slow_start();
        Self { world, chance, schedules: 0, slow_start, addresses, clients, fury }
    }

    /// Anything happens at any moment.
    pub(super) fn rage(&mut self) {
        for _ in 0..2 + self.chance.below(WORKERS_MAX - 1) {
            self.world.fork();
        }
        while self.clients > 0 {
            if self.chance.odds(self.fury) {
                self.incident();
            } else if self.chance.odds(15) {
                let burst = if self.chance.odds(30) { 1 + self.chance.below(12) } else { 1 };
                self.come(burst);
            } else {
                self.world.drive_by(&mut self.chance, 4);
            }
        }
    }

    /// What has happened has happened; who is well goes on, and time passes.
    pub(super) fn calm_down(&mut self) {
        self.world.finish_retrieval();
        self.world.spawn_error = None;
        (self.world.kernel.exhausted, self.world.kernel.crammed) = (false, false);
        for process in self.world.processes.values_mut() {
            if process.stage == Stage::Blocked {
                process.stage = Stage::Running;
            }
            let application = &mut process.application;
            application.appetite = usize::MAX;
            (application.blind, application.returns) = (0, 0);
        }
        let workers: Vec<_> = self.world.processes.keys().copied().collect();
        workers.iter().for_each(|worker| self.world.release(*worker));
        self.check_loads();
        for process in self.world.processes.values_mut() {
            process.application.busy = false;
        }
        let workers: Vec<_> = self.world.primary.workers().collect();
        workers.iter().for_each(|worker| self.world.uncordon(*worker));
        self.come_to_rest();
        assert_eq!(self.world.primary.connections(), 0, "nothing hangs");
        self.balance();
        for (worker, _) in self.world.processes.iter().filter(|(_, it)| it.is_healthy()) {
            assert_eq!(self.world.primary.load(*worker), (0, 0), "worker {worker} has nothing");
        }
        for process in self.world.processes.values().filter(|it| it.lives()) {
            assert_eq!(process.application.requests.len(), 0, "every request is answered");
        }
        self.check_sockets();
        self.check_passages();
    }

    /// Whatever schedules there were, and whenever connections were taken: under one that counts,
    /// the primary knows how many a worker has.
    fn check_loads(&mut self) {
        let before = self.world.schedule();
        self.world.set_schedule(Schedule::LeastLoaded);
        self.come_to_rest();
        for (worker, process) in self.world.processes.iter().filter(|(_, it)| it.is_healthy()) {
            let handed = |number: &&Number| self.world.kernel.connections[**number].handed;
            let open = process.application.serving.iter().filter(handed).count();
            assert_eq!(self.world.primary.load(*worker), (0, open), "the load of worker {worker}");
        }
        self.world.set_schedule(before);
    }

    /// A socket is open in the primary as long as somebody shares it. Where the kernel shares
    /// it, each sharer has one copy; where each has its own, at most one has; and nobody else
    /// has any. Nobody waits there.
    fn check_sockets(&self) {
        for ((listener, slot), socket) in &self.world.kernel.sockets {
            let shares = |it: &Process| it.application.listeners.contains(listener);
            let adopted = |it: &Process| it.application.adopted.get(listener) == Some(slot);
            let sharers: Vec<_> =
                self.world.processes.iter().filter(|(_, it)| it.lives() && shares(it)).collect();
            assert!(!sharers.is_empty(), "nobody shares {socket:?}");
            assert!(sharers.iter().all(|(_, it)| it.is_healthy()), "those who stay share");
            let mut holders = vec![Holder::Primary];
            let own = sharers.iter().filter(|(_, it)| adopted(it));
            holders.extend(own.map(|(worker, _)| Holder::Worker(**worker)));
            let datagrams = matches!(socket.address, Some(Address::Udp(_)));
            let shared = self.world.shared[listener];
            let sharded = self.world.kernel.spread.contains_key(listener);
            if sharded {
                let has_one = |it: &Process| it.application.adopted.contains_key(listener);
                assert!(sharers.iter().all(|(_, it)| has_one(it)), "each has a socket");
                assert!(holders.len() <= 2, "of its own");
            } else if shared == Sharing::Kernel {
                assert_eq!(holders.len(), 1 + sharers.len(), "each has a copy");
            } else {
                assert_eq!(holders.len(), 1, "nobody has a copy");
            }
            assert!(socket.backlog.is_empty() || sharded && datagrams, "nobody waits there");
            let mut copies = socket.copies.clone();
            copies.sort_unstable();
            assert_eq!(copies, holders, "{socket:?}");
        }
    }

    /// There is a passage for each share in a listener of connections, empty, with an end in the
    /// primary and one in the worker.
    fn check_passages(&self) {
        let mut expected = Vec::new();
        for (worker, process) in self.world.processes.iter().filter(|(_, it)| it.lives()) {
            let of = |listener: &&ListenerId| {
                let socket = &self.world.kernel.sockets[&(**listener, SlotId(0))];
                !matches!(socket.address, Some(Address::Udp(_)))
            };
            let listeners = process.application.listeners.iter().filter(of);
            expected.extend(listeners.map(|listener| (*worker, *listener)));
        }
        let passages = self.world.kernel.passages.values();
        let mut found: Vec<_> = passages.clone().map(|it| (it.worker, it.listener)).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(self.world.outside().count(), 0, "all was put in");
        for passage in passages {
            assert_eq!(passage.copies, [Holder::Primary, Holder::Worker(passage.worker)]);
            assert!(passage.queue.is_empty(), "nothing is left in {passage:?}");
        }
    }

    /// After the storm, each client is served, and each worker serves as many as the next.
    pub(super) fn serve_all(&mut self) {
        let address = tcp(8080);
        self.world.fork();
        self.come_to_rest();
        let all = self.world.processes.iter();
        let well: Vec<_> = all.filter(|(_, it)| it.is_healthy()).map(|(id, _)| *id).collect();
        for worker in &well {
            assert!(self.world.primary.state(*worker) >= Some(WorkerState::Online));
            self.world.listen(*worker, &address);
        }
        self.come_to_rest();
        let rounds = 3;
        for _ in 0..rounds * well.len() {
            self.world.connect(&address).expect("somebody listens");
            self.come_to_rest();
        }
        let connections = &self.world.kernel.connections;
        let last = connections[connections.len() - rounds * well.len()..].iter();
        let readers: Vec<_> = last.filter_map(|it| it.reader).collect();
        assert_eq!(readers.len(), rounds * well.len(), "each client is served");
        let in_turns = matches!(
            self.world.schedule(),
            Schedule::RoundRobin | Schedule::LeastLoaded | Schedule::Sharded
        ) && self.slow_start.is_zero();
        for worker in well.iter().filter(|_| in_turns) {
            let served = readers.iter().filter(|reader| *reader == worker).count();
            assert_eq!(served, rounds, "worker {worker} serves as many as the others");
        }
    }

    /// All workers are asked to leave; some have to be killed.
    pub(super) fn say_farewell(&mut self) {
        let workers: Vec<_> = self.world.processes.keys().copied().collect();
        for worker in workers {
            self.world.process(worker).application.busy = self.chance.odds(20);
        }
        self.world.disconnect_all(Some(Duration::from_secs(10)));
        self.come_to_rest();
        assert_eq!(self.world.primary.workers().count(), 0, "all are gone");
        assert_eq!(self.world.witness.farewells(), 0, "all farewells are told");
        assert!(self.world.kernel.sockets.is_empty(), "no listener without sharers");
        assert_eq!(self.world.deadline, None, "nothing to wait for");
        self.balance();
        let reset = self.fates().filter(|fate| *fate == Fate::Reset).count();
        assert_eq!(reset, self.world.kernel.reset, "only what nobody accepted is reset");
        let copies = self.world.kernel.connections.iter().map(|it| it.copies.len());
        assert_eq!(copies.sum::<usize>(), 0, "no descriptor leaks");
        assert_eq!(self.world.kernel.passages.len(), 0, "nor a passage");
    }

    pub(super) fn fates(&self) -> impl Iterator<Item = Fate> {
        self.world.kernel.connections.iter().enumerate().map(|(number, it)| self.fate(number, it))
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = ExitStatus> {
        self.world.statuses.iter().copied()
    }

    /// Lets happen what can, and time pass, until nothing more happens, but that the primary
    /// looks into empty queues, however much time passes.
    fn come_to_rest(&mut self) {
        for _ in 0..1000 {
            assert!(self.world.drive_by(&mut self.chance, 100_000), "no rest");
            let before = self.world.tally.deeds;
            if !self.world.pass_to_deadline() {
                return;
            }
            self.world.drive_by(&mut self.chance, 100_000);
            if self.world.tally.deeds > before {
                continue;
            }
            self.world.pass(Duration::from_secs(11));
            self.world.drive_by(&mut self.chance, 100_000);
            let next = self.world.primary.next_deadline();
            let checks = next.is_none_or(|(_, why)| matches!(why, Reason::Check(_)));
            if checks && self.world.tally.deeds == before {
                return;
            }
        }
        panic!("deadlines without end");
    }

    /// Each connection has met exactly one fate.
    fn balance(&self) {
        assert!(self.world.witness.in_flight.is_empty(), "nothing is in flight");
        self.fates().for_each(drop);
    }

    fn fate(&self, number: Number, connection: &Connection) -> Fate {
        let name = format!("connection {number}: {connection:?}");
        assert_eq!(connection.copies, [], "leaked: {name}");
        if connection.served {
            let kept = matches!(connection.closed, None | Some(Close::Taken));
            assert!(kept, "served and closed: {name}");
            return Fate::Served;
        }
        match connection.closed {
            None if !connection.accepted => Fate::Reset,
            None | Some(Close::Taken) if connection.dropped => Fate::Dropped,
            // The primary never had what a worker accepted itself.
            None | Some(Close::Taken) => {
                let taken_by = connection.taken_by.unwrap_or_else(|| panic!("hung: {name}"));
                let lives = self.world.processes[&taken_by].lives();
                assert!(!lives, "lost with a worker that lives: {name}");
                Fate::LostWithWorker
            }
            Some(why) => Fate::Closed(why),
        }
    }

    /// So many clients come, as long as there are any.
    fn come(&mut self, clients: usize) {
        for _ in 0..clients.min(self.clients) {
            self.clients -= 1;
            self.connect();
        }
    }

    /// A client tries an address that somebody listens on.
    fn connect(&mut self) {
        let sockets = self.world.kernel.sockets.values();
        let bound: Vec<_> = sockets.filter_map(|it| it.address.as_ref()).collect();
        if let Some(address) = self.chance.pick(&bound).cloned() {
            self.world.kernel.turn = self.chance.below(100);
            self.world.connect(&address);
        }
    }

    fn incident(&mut self) {
        match self.chance.below(32) {
            0..=2 => self.fork(),
            3..=6 => self.listen(),
            7 => self.close_listener(),
            8..=9 => self.worker_ends(),
            10..=11 => self.application_changes(),
            12 => self.worker_leaves(),
            13 => self.primary_commands(),
            14 => self.channel_suffers(),
            15..=16 => self.world.kernel.exhausted = self.chance.odds(30),
            17 => self.world.spawn_error = self.chance.odds(20).then_some(OsError(11)),
            18..=19 => self.cordon(),
            20..=21 => self.change_schedule(),
            22..=23 => self.lull(),
            24..=25 => self.world.kernel.crammed = self.chance.odds(50),
            26..=27 => self.hoard(),
            _ => {
                let time = Duration::from_millis(self.chance.below(400) as u64);
                self.world.pass(time);
            }
        }
    }

    fn fork(&mut self) {
        if self.world.primary.workers().count() < WORKERS_MAX {
            self.world.fork();
        }
    }

    fn listen(&mut self) {
        let Some(worker) = self.running() else { return };
        let place = self.chance.below(self.addresses.len());
        let mut spec = ListenSpec::new(self.addresses[place].clone());
        if self.chance.odds(20) {
            spec.data = format!("from {worker}").into_bytes();
        }
        self.world.listen_as(worker, spec);
    }

    fn close_listener(&mut self) {
        if let Some(worker) = self.running() {
            self.close_listener_of(worker);
        }
    }

    fn close_listener_of(&mut self, worker: WorkerId) {
        let listeners = self.world.process(worker).application.listeners.clone();
        if let Some(listener) = self.chance.pick(&listeners) {
            self.world.close_listener(worker, listener);
        }
    }

    fn worker_ends(&mut self) {
        let ends = |it: &Process| it.lives() && it.stage != Stage::Asked;
        let Some(worker) = self.one(ends) else { return };
        match self.chance.below(3) {
            0 => self.world.end(worker, ExitStatus::Code(1)),
            1 => self.world.end(worker, ExitStatus::Code(0)),
            _ => self.world.crash(worker),
        }
    }

    fn application_changes(&mut self) {
        let Some(worker) = self.one(|it| it.lives() && it.stage != Stage::Asked) else { return };
        let chance = &mut self.chance;
        let process = self.world.process(worker);
        match chance.below(12) {
            0..=1 => process.stage = Stage::Blocked,
            2..=4 => process.stage = Stage::Running,
            5..=7 => process.application.appetite = chance.below(20),
            8..=9 => process.application.returns += 1 + chance.below(3),
            10 => process.application.blind += 1 + chance.below(3),
            _ => process.application.busy = chance.odds(50),
        }
    }

    fn worker_leaves(&mut self) {
        let Some(worker) = self.running() else { return };
        match self.chance.below(4) {
            0 => self.world.kill_itself(worker, Signal::TERM),
            1 => self.world.close_own_channel(worker),
            _ => self.world.leave(worker),
        }
    }

    fn primary_commands(&mut self) {
        let workers: Vec<_> = self.world.primary.workers().collect();
        let Some(worker) = self.chance.pick(&workers) else { return };
        let patience = Duration::from_millis(self.chance.below(200) as u64);
        let kill_after = self.chance.odds(50).then_some(patience);
        match self.chance.below(10) {
            0 => self.world.disconnect_all(kill_after),
            1..=2 => self.world.kill(worker, Signal::TERM),
            3..=4 => self.world.close_channel(worker),
            _ => self.world.disconnect(worker, kill_after),
        }
    }

    fn cordon(&mut self) {
        let workers: Vec<_> = self.world.primary.workers().collect();
        let Some(worker) = self.chance.pick(&workers) else { return };
        if self.chance.odds(50) {
            self.world.cordon(worker);
        } else {
            self.world.uncordon(worker);
        }
    }

    fn change_schedule(&mut self) {
        let schedule = schedule(&mut self.chance);
        self.schedules += usize::from(schedule != self.world.schedule());
        self.world.set_schedule(schedule);
    }

    /// Somebody is blocked, and nothing else happens: for long enough to be found out.
    fn lull(&mut self) {
        self.world.kernel.crammed |= self.chance.odds(25);
        let blocked = self.sharing();
        if let Some(worker) = blocked {
            self.world.process(worker).stage = Stage::Blocked;
        }
        self.come(8);
        for _ in 0..1 + self.chance.below(6) {
            self.world.pass(STALLED_CHECK);
            self.world.drive_by(&mut self.chance, 40);
        }
        if let Some(worker) = blocked.filter(|_| self.chance.odds(50)) {
            let stage = &mut self.world.process(worker).stage;
            if *stage == Stage::Blocked {
                *stage = Stage::Running;
            }
            self.world.drive_by(&mut self.chance, 20);
        }
    }

    /// Somebody takes nothing of what it is handed, and takes some when it is about to be taken
    /// back.
    fn hoard(&mut self) {
        let Some(worker) = self.sharing() else { return };
        self.world.process(worker).application.appetite = 0;
        self.come(8);
        self.world.drive_by(&mut self.chance, 60);
        let process = self.world.process(worker);
        if process.runs() {
            process.application.appetite = 1 + self.chance.below(4);
            match self.chance.below(3) {
                0 => self.world.leave(worker),
                _ => self.close_listener_of(worker),
            }
            self.world.drive_by(&mut self.chance, 20);
        }
    }

    fn channel_suffers(&mut self) {
        let Some(worker) = self.one(|it| it.runs() && it.link.primary_end != End::Closed) else {
            return;
        };
        if self.chance.odds(30) {
            self.world.break_channel(worker);
        } else {
            self.world.process(worker).link.held = true;
        }
    }

    fn running(&mut self) -> Option<WorkerId> {
        self.one(Process::runs)
    }

    /// One that may be handed something.
    fn sharing(&mut self) -> Option<WorkerId> {
        self.one(|it| it.runs() && !it.application.passages.is_empty())
    }

    fn one(&mut self, which: impl Fn(&Process) -> bool) -> Option<WorkerId> {
        let all = self.world.processes.iter();
        let some: Vec<_> = all.filter(|(_, it)| which(it)).map(|(worker, _)| *worker).collect();
        self.chance.pick(&some)
    }
}
