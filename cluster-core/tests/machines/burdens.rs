//! How much workers and the primary are given: windows, the budget, loads; and what becomes of
//! connections that are too many.

use std::time::Duration;

use cluster_core::limits::{BUDGET_DEFAULT, TAKEN_PROMPTLY, WINDOW_START};
use cluster_core::primary::Close;
use cluster_core::{
    Candidate, Choice, Config, ListenerId, Overload, Rule, Schedule, SlotId, View, WorkerId,
};
use insta::assert_snapshot;

use crate::handing::{connect, sharing};
use crate::world::process::Stage;
use crate::world::{Turn, World, tcp};

pub(crate) fn config(schedule: Schedule) -> Config {
    Config::new(schedule, 64, 8).expect("sensible")
}

/// A world with such settings, and workers that share port 80.
pub(crate) fn sharing_with(config: Config, workers: usize) -> (World, Vec<WorkerId>) {
    let mut world = World::traced_with(config);
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

/// How many connections a worker that takes nothing is handed: its window.
fn window(world: &mut World, worker: WorkerId) -> usize {
    world.process(worker).application.appetite = 0;
    connect(world, 10);
    world.drive();
    let window = world.witness.untaken(worker);
    world.process(worker).application.appetite = usize::MAX;
    window
}

#[test]
fn window_start() {
    let (mut world, workers) = sharing(1);
    assert_eq!(window(&mut world, workers[0]), WINDOW_START);
    let small = Config::new(Schedule::RoundRobin, 64, 1).expect("sensible");
    let (mut world, workers) = sharing_with(small, 1);
    assert_eq!(window(&mut world, workers[0]), 1);
}

/// What is taken at once widens a worker's window by one, up to the most.
#[test]
fn a_window_grows_one_by_one() {
    let (mut world, workers) = sharing(1);
    for expected in [2, 3, 4, 5, 6, 7, 8, 8] {
        assert_eq!(window(&mut world, workers[0]), expected);
        world = grown(expected);
    }
}

/// A world whose worker has taken as many as widen its window to one more than `window`.
fn grown(window: usize) -> World {
    let (mut world, _) = sharing(1);
    for _ in WINDOW_START..=window {
        connect(&mut world, 1);
        world.drive();
    }
    world
}

#[test]
fn taken_promptly() {
    for (late, expected) in [(Duration::ZERO, 8), (Duration::from_nanos(1), 3)] {
        let mut world = grown(6);
        let worker = world.primary.workers().next().expect("one");
        world.process(worker).application.appetite = 0;
        connect(&mut world, 1);
        world.drive();
        world.pass(TAKEN_PROMPTLY + late);
        world.process(worker).application.appetite = usize::MAX;
        world.drive();
        assert_eq!(window(&mut world, worker), expected, "7, and one more or half as many");
    }
}

/// A worker that is blocked holds back two; the others get the rest.
#[test]
fn a_blocked_worker_holds_back_a_handful() {
    let (mut world, workers) = sharing(3);
    world.process(workers[2]).stage = Stage::Blocked;
    for worker in &workers[..2] {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 40);
    world.drive();
    for worker in &workers[..2] {
        world.process(*worker).application.appetite = usize::MAX;
    }
    world.drive();
    assert_eq!(world.witness.untaken(workers[2]), WINDOW_START);
    assert_eq!(world.primary.connections(), WINDOW_START);
    assert_eq!(world.kernel.connections.iter().filter(|it| it.served).count(), 38);
}

/// The gates of all listeners are shut while the primary holds as many as it may, and open when
/// it holds fewer; what waits is handed over when it may.
#[test]
fn the_budget_shuts_and_opens_all_gates() {
    let config = config(Schedule::RoundRobin).with_budget(3).expect("sensible");
    let (mut world, workers) = sharing_with(config, 1);
    let other = world.fork_listening(&[tcp(81)]);
    for worker in [workers[0], other] {
        world.process(worker).application.appetite = 0;
    }
    world.partial_transcript();
    connect(&mut world, 2);
    world.drive();
    for _ in 0..2 {
        world.connect(&tcp(81)).expect("somebody listens");
    }
    world.drive();
    assert_eq!(world.primary.connections(), 3);
    assert!(world.primary.is_crowded(), "though nothing waits");
    world.process(workers[0]).application.appetite = 1;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 1 as h2
    >        client c connects
    >        client d connects
    primary  hand c of l2 to 2 as h3
    primary  pause l1
    primary  pause l2
    >        worker 1 takes a from l1
    primary  close a: taken
    primary  accept from l1
    primary  accept from l2
    >        worker 1 serves a
    primary  hand d of l2 to 2 as h4
    primary  pause l1
    primary  pause l2
    and nothing else
    ");
}

#[test]
fn budget_default() {
    let config = Config::new(Schedule::RoundRobin, 2 * BUDGET_DEFAULT, 8).expect("sensible");
    let mut world = World::new(config);
    let worker = world.fork_listening(&[tcp(80)]);
    world.process(worker).application.appetite = 0;
    let mut clients = 0;
    while world.connect(&tcp(80)).is_some() {
        world.drive();
        clients += 1;
    }
    assert_eq!(world.primary.connections(), BUDGET_DEFAULT);
    assert!(clients > BUDGET_DEFAULT, "the rest waits in the kernel");
}

/// More than the budget come back from workers: they wait, and never are in flight all at once.
#[test]
fn what_is_given_back_beyond_the_budget_waits() {
    let config = config(Schedule::None).with_budget(1).expect("sensible");
    let (mut world, workers) = sharing_with(config, 2);
    world.process(workers[0]).application.returns = 5;
    world.process(workers[1]).stage = Stage::Blocked;
    connect(&mut world, 5);
    world.drive_while(|turn| !matches!(turn, Turn::Take(..)));
    assert_eq!((world.primary.connections(), world.witness.in_flight.len()), (5, 1));
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.served));
}

/// One that dies with what used up the budget makes room for what waits elsewhere.
#[test]
fn a_death_makes_room_in_the_budget() {
    for breaks in [false, true] {
        let config = config(Schedule::None).with_budget(1).expect("sensible");
        let (mut world, workers) = sharing_with(config, 2);
        let third = world.fork_listening(&[tcp(81)]);
        let fourth = world.fork_listening(&[tcp(81)]);
        for worker in [workers[0], third] {
            world.process(worker).application.returns = 1;
        }
        for worker in [workers[1], fourth] {
            world.process(worker).stage = Stage::Blocked;
        }
        connect(&mut world, 1);
        world.drive();
        world.process(third).application.appetite = 1;
        world.connect(&tcp(81)).expect("somebody listens");
        world.drive();
        assert_eq!((world.primary.connections(), world.witness.in_flight.len()), (2, 1));
        // Nobody is left that could have the one that is in flight.
        world.close_listener(workers[0], ListenerId(1));
        world.drive();
        if breaks {
            world.break_channel(workers[1]);
        } else {
            world.crash(workers[1]);
        }
        world.drive();
        assert_eq!(world.primary.connections(), 1);
        assert_eq!(world.witness.untaken(fourth), 1, "the other is in flight now");
    }
}

/// Under a schedule that counts, workers say when connections have ended.
#[test]
fn loads_are_reported_where_they_count() {
    let (mut world, workers) = sharing_with(config(Schedule::LeastLoaded), 2);
    world.process(workers[0]).application.busy = true;
    connect(&mut world, 1);
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_eq!(world.primary.load(workers[0]), (0, 1));
    assert_eq!(world.primary.load(workers[1]), (0, 0));
    world.process(workers[0]).application.busy = false;
    world.drive();
    assert_eq!(world.primary.load(workers[0]), (0, 0));
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        client b connects
    >        client c connects
    primary  hand b of l1 to 2 as h2
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    worker 2 say: finished 1
    primary  hand c of l1 to 2 as h3
    >        worker 2 takes c from l1
    primary  close c: taken
    >        worker 2 serves c
    worker 2 say: finished 1
    >        worker 1 serves a
    worker 1 say: finished 1
    and nothing else
    ");
}

/// One that is given back is no longer among those that the worker has.
#[test]
fn what_is_given_back_burdens_nobody() {
    let (mut world, workers) = sharing_with(config(Schedule::LeastLoaded), 2);
    world.process(workers[0]).application.returns = 1;
    connect(&mut world, 1);
    world.drive();
    assert!(world.kernel.connections[0].served);
    assert_eq!(workers.iter().map(|it| world.primary.load(*it)).collect::<Vec<_>>(), [(0, 0); 2]);
}

/// A peer whose worker has its part and more goes to the next, and not before.
#[test]
fn what_a_bound_lets_wait_is_handed_over_when_one_ends() {
    fn only_to_the_idle(view: &View<'_>) -> Choice {
        let idle = view.ready().find(|it| it.load() == 0);
        idle.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
    }
    let (mut world, workers) = sharing_with(config(Schedule::Custom(Rule(only_to_the_idle))), 1);
    world.process(workers[0]).application.busy = true;
    connect(&mut world, 2);
    world.drive();
    assert_eq!((world.primary.load(workers[0]), world.primary.connections()), ((0, 1), 1));
    world.process(workers[0]).application.busy = false;
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.served));
}

/// A rule that names a worker that there is not, or one that has no room, lets the connection
/// wait, and keeps nobody behind it waiting.
#[test]
fn a_rule_that_answers_nonsense_breaks_nothing() {
    fn nonsense(view: &View<'_>) -> Choice {
        match view.peer().map(|peer| peer.port() % 3) {
            Some(0) => Choice::Worker(WorkerId::new(99).expect("not 0")),
            Some(1) => {
                let full = view.candidates().iter().find(|it: &&Candidate| !it.has_room);
                full.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
            }
            _ => view.ready().next().map_or(Choice::Wait, |it| Choice::Worker(it.worker)),
        }
    }
    let (mut world, workers) = sharing_with(config(Schedule::Custom(Rule(nonsense))), 2);
    world.process(workers[1]).stage = Stage::Blocked;
    connect(&mut world, 30);
    world.drive();
    let served = world.kernel.connections.iter().filter(|it| it.served).count();
    let blocked = world.witness.untaken(workers[1]);
    assert_eq!((served + blocked, blocked), (10, WINDOW_START), "every third one");
    assert_eq!(world.primary.connections(), 20 + blocked);
    world.disconnect_all(None);
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    assert_eq!(world.primary.connections(), 0);
}

/// As many wait as may: accepting pauses, and the others wait in the kernel.
#[test]
fn overload_waits() {
    let config = Config::new(Schedule::RoundRobin, 2, 8).expect("sensible");
    let (mut world, workers) = sharing_with(config, 1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, WINDOW_START + 3);
    world.drive();
    let socket = &world.kernel.sockets[&(ListenerId(1), SlotId(0))];
    assert!(!socket.accepting && socket.backlog.len() == 1);
    assert_eq!(world.primary.connections(), WINDOW_START + 2);
    assert!(world.primary.is_crowded());
    world.process(workers[0]).application.appetite = usize::MAX;
    world.drive();
    assert!(!world.primary.is_crowded());
    assert!(world.kernel.connections.iter().all(|it| it.served));
}

/// As many wait as may: what comes next is closed at once.
#[test]
fn overload_closes() {
    let config = Config::new(Schedule::RoundRobin, 1, 8).expect("sensible");
    let (mut world, workers) = sharing_with(config.with_overload(Overload::Close), 1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, WINDOW_START + 2);
    world.drive();
    world.process(workers[0]).application.appetite = usize::MAX;
    world.drive();
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    >        client d connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 1 as h2
    primary  close d: overload
    >        worker 1 takes a from l1
    primary  close a: taken
    primary  hand c of l1 to 1 as h3
    >        worker 1 serves a
    >        worker 1 takes b from l1
    primary  close b: taken
    >        worker 1 serves b
    >        worker 1 takes c from l1
    primary  close c: taken
    >        worker 1 serves c
    >        client e connects
    primary  hand e of l1 to 1 as h4
    >        worker 1 takes e from l1
    primary  close e: taken
    >        worker 1 serves e
    and nothing else
    ");
}

/// What comes back from a worker is not new: it stays, though more wait than may, and new ones
/// are closed.
#[test]
fn overload_closes_nothing_that_comes_back() {
    let config = Config::new(Schedule::RoundRobin, 1, 8).expect("sensible");
    let (mut world, workers) = sharing_with(config.with_overload(Overload::Close), 2);
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 2 * WINDOW_START + 1);
    world.drive();
    world.crash(workers[0]);
    connect(&mut world, 1);
    world.drive();
    let newest = world.kernel.connections.len() - 1;
    assert_eq!(world.kernel.connections[newest].closed, Some(Close::Overload));
    assert_eq!(world.primary.connections(), newest);
    world.process(workers[1]).application.appetite = usize::MAX;
    world.drive();
    assert!(world.kernel.connections[..newest].iter().all(|it| it.served));
}

/// The budget holds, too: nothing is accepted only to be closed while it is used up.
#[test]
fn overload_within_the_budget() {
    let config = Config::new(Schedule::RoundRobin, 64, 8).expect("sensible");
    let config = config.with_overload(Overload::Close).with_budget(3).expect("not 0");
    let (mut world, workers) = sharing_with(config, 1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 5);
    world.drive();
    let socket = &world.kernel.sockets[&(ListenerId(1), SlotId(0))];
    assert!(!socket.accepting && socket.backlog.len() == 2);
    world.process(workers[0]).application.appetite = usize::MAX;
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.served));
}
