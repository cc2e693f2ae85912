//! Schedules that come into force while workers listen.

use std::num::NonZeroU32;

use cluster_core::{
    Choice, Config, ConfigError, Key, ListenerId, Rule, Schedule, Sharing, View, WorkerId,
};
use insta::assert_snapshot;

use crate::handing::{connect, sharing};
use crate::world::process::Stage;
use crate::world::{Turn, World, tcp};

/// All that comes goes to worker 2.
fn only_the_second(view: &View<'_>) -> Choice {
    let second = view.candidates().iter().find(|it| it.worker.number() == 2);
    second.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
}

/// A traced world in which `workers` share port 80 under `schedule`, and nothing said yet.
fn sharing_under(schedule: Schedule, workers: usize) -> (World, Vec<WorkerId>) {
    let config = Config::new(schedule, 64, 8).expect("sensible");
    let mut world = World::traced_with(config);
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

/// Connects one after the other, and says who serves them.
fn served_by(world: &mut World, clients: usize) -> Vec<u32> {
    let before = world.kernel.connections.len();
    for _ in 0..clients {
        connect(world, 1);
        world.drive();
    }
    let readers = world.kernel.connections[before..].iter().filter_map(|it| it.reader);
    readers.map(WorkerId::number).collect()
}

/// How many connections each worker has taken and not finished, as far as is known.
fn loads(world: &World, workers: &[WorkerId]) -> Vec<usize> {
    workers.iter().map(|worker| world.primary.load(*worker).1).collect()
}

/// Who shares port 80 no longer, listens there again.
fn listen_again(world: &mut World, workers: &[WorkerId], listener: ListenerId) {
    for worker in workers {
        world.close_listener(*worker, listener);
        world.drive();
    }
    for worker in workers {
        world.listen(*worker, &tcp(80));
        world.drive();
    }
}

/// What one schedule lets wait, the next may hand over.
#[test]
fn what_waits_is_chosen_for_anew() {
    let rule = Schedule::Custom(Rule(only_the_second));
    let (mut world, workers) = sharing_under(rule, 2);
    world.process(workers[1]).application.appetite = 0;
    connect(&mut world, 4);
    world.drive();
    assert_eq!(world.primary.connections(), 4);
    world.set_schedule(Schedule::Sticky { by: Key::PeerIp, bound: None });
    world.set_schedule(Schedule::RoundRobin);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    >        client d connects
    primary  hand a of l1 to 2 as h1
    primary  hand b of l1 to 2 as h2
    >        schedule Sticky { by: PeerIp, bound: None }
    primary  say to 1: report no ends
    primary  say to 2: report no ends
    >        schedule RoundRobin
    primary  hand c of l1 to 1 as h3
    primary  hand d of l1 to 1 as h4
    worker 1 say: reported
    >        worker 1 takes c from l1
    primary  close c: taken
    >        worker 1 serves c
    >        worker 1 takes d from l1
    primary  close d: taken
    >        worker 1 serves d
    worker 2 say: reported
    and nothing else
    ");
}

/// What was taken before is counted: each worker first tells what of it has ended.
#[test]
fn ends_are_reported_from_then_on() {
    let (mut world, workers) = sharing(2);
    assert_eq!(served_by(&mut world, 2), [1, 2]);
    world.process(workers[0]).application.busy = true;
    assert_eq!(served_by(&mut world, 2), [1, 2]);
    assert_eq!(world.primary.load(workers[0]), (0, 0), "nobody counts");
    world.partial_transcript();
    world.set_schedule(Schedule::LeastLoaded);
    world.drive();
    assert_eq!(loads(&world, &workers), [1, 0]);
    assert_eq!(served_by(&mut world, 2), [2, 2]);
    world.process(workers[0]).application.busy = false;
    world.drive();
    assert_eq!(world.primary.load(workers[0]), (0, 0));
    assert_snapshot!(world.transcript(), @"
    >        schedule LeastLoaded
    primary  say to 1: report ends
    primary  say to 2: report ends
    worker 1 say: finished 1
    worker 1 say: reported
    worker 2 say: finished 2
    worker 2 say: reported
    >        client e connects
    primary  hand e of l1 to 2 as h5
    >        worker 2 takes e from l1
    primary  close e: taken
    >        worker 2 serves e
    worker 2 say: finished 1
    >        client f connects
    primary  hand f of l1 to 2 as h6
    >        worker 2 takes f from l1
    primary  close f: taken
    >        worker 2 serves f
    worker 2 say: finished 1
    >        worker 1 serves c
    worker 1 say: finished 1
    and nothing else
    ");
}

/// And no longer, when nobody counts any more. What ends meanwhile is told the next time.
#[test]
fn ends_are_reported_as_long_as_they_count() {
    let (mut world, workers) = sharing_under(Schedule::PowerOfTwo, 1);
    assert_eq!(served_by(&mut world, 1), [1]);
    world.set_schedule(Schedule::LeastLoaded);
    assert_eq!(served_by(&mut world, 1), [1]);
    world.partial_transcript();
    world.set_schedule(Schedule::RoundRobin);
    assert_eq!(served_by(&mut world, 1), [1]);
    world.process(workers[0]).application.busy = true;
    assert_eq!(served_by(&mut world, 1), [1]);
    assert_eq!(world.primary.load(workers[0]), (0, 0));
    world.set_schedule(Schedule::PowerOfTwo);
    world.drive();
    assert_eq!(world.primary.load(workers[0]), (0, 1));
    world.process(workers[0]).application.busy = false;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        schedule RoundRobin
    primary  say to 1: report no ends
    >        client c connects
    worker 1 say: reported
    primary  hand c of l1 to 1 as h3
    >        worker 1 takes c from l1
    primary  close c: taken
    >        worker 1 serves c
    >        client d connects
    primary  hand d of l1 to 1 as h4
    >        worker 1 takes d from l1
    primary  close d: taken
    >        schedule PowerOfTwo
    primary  say to 1: report ends
    worker 1 say: finished 1
    worker 1 say: reported
    >        worker 1 serves d
    worker 1 say: finished 1
    and nothing else
    ");
    assert_eq!(world.primary.load(workers[0]), (0, 0));
}

/// A worker that does not answer has no load, and not all that it has ever had.
#[test]
fn nothing_is_known_of_a_worker_that_has_not_answered() {
    let (mut world, workers) = sharing(2);
    served_by(&mut world, 6);
    world.process(workers[0]).stage = Stage::Blocked;
    for schedule in [Schedule::LeastLoaded, Schedule::None, Schedule::LeastLoaded] {
        world.set_schedule(schedule);
        world.drive();
        assert_eq!(world.primary.load(workers[0]), (0, 0));
    }
    world.process(workers[0]).application.busy = true;
    world.process(workers[0]).stage = Stage::Running;
    world.drive_while(|turn| !matches!(turn, Turn::ReadUp(_)));
    assert_eq!(world.primary.load(workers[0]), (0, 0), "its answers are on their way");
    world.drive();
    assert_eq!(served_by(&mut world, 1).len(), 1);
    assert_eq!(loads(&world, &workers), [1, 0]);
}

/// Who listens for the first time hears from its grant that ends count, and needs no word.
#[test]
fn who_has_nothing_yet_is_told_by_its_grant() {
    let (mut world, workers) = sharing(1);
    let late = world.fork();
    world.drive();
    world.partial_transcript();
    world.set_schedule(Schedule::LeastLoaded);
    world.drive();
    world.listen(late, &tcp(80));
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        schedule LeastLoaded
    primary  say to 1: report ends
    worker 1 say: reported
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    worker 1 say: finished 1
    primary  hand b of l1 to 2 as h2
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    worker 2 say: finished 1
    and nothing else
    ");
    assert_eq!(world.primary.load(workers[0]), (0, 0));
}

/// What a worker has of connections that it gives back counts no more, whenever it got them.
#[test]
fn what_is_given_back_counts_no_more() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).application.busy = true;
    }
    assert_eq!(served_by(&mut world, 2), [1, 2]);
    world.process(workers[0]).application.returns = 1;
    assert_eq!(served_by(&mut world, 1), [2]);
    world.set_schedule(Schedule::LeastLoaded);
    world.drive();
    assert_eq!(loads(&world, &workers), [1, 2]);
    world.process(workers[0]).application.returns = 1;
    assert_eq!(served_by(&mut world, 1), [1], "it still has fewest");
    assert_eq!(loads(&world, &workers), [2, 2]);
}

/// What a schedule lets wait because it knows nothing yet is chosen for when it does.
#[test]
fn an_answer_may_be_waited_for() {
    fn whoever_has_some(view: &View<'_>) -> Choice {
        let some = view.ready().find(|it| it.load() > 0);
        some.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
    }
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.busy = true;
    served_by(&mut world, 1);
    world.set_schedule(Schedule::Custom(Rule(whoever_has_some)));
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::ReadUp(_)));
    assert_eq!(world.primary.connections(), 1);
    world.drive();
    assert_eq!(loads(&world, &workers), [2]);
}

/// A listener whose connections are handed over goes on with that, and they go round, until
/// nobody listens there any more.
#[test]
fn connections_that_are_handed_over_still_are() {
    for (schedule, then) in
        [(Schedule::None, Sharing::Kernel), (Schedule::Sharded, Sharing::Sharded)]
    {
        let (mut world, mut workers) =
            sharing_under(Schedule::Sticky { by: Key::PeerIp, bound: None }, 2);
        world.set_schedule(schedule);
        world.drive();
        // One that joins is no exception.
        workers.push(world.fork_listening(&[tcp(80)]));
        assert_eq!(served_by(&mut world, 6), [1, 2, 3, 1, 2, 3]);
        assert_eq!(world.tally.accepted_by_workers, 0);
        listen_again(&mut world, &workers, ListenerId(1));
        assert_eq!(world.shared[&ListenerId(2)], then);
        served_by(&mut world, 6);
        assert_eq!(world.tally.accepted_by_workers, 6);
    }
}

/// A listener that the kernel shares stays so, until nobody listens there any more. What a worker
/// gives back goes where the schedule says, and what it accepted itself counts for nothing.
#[test]
fn workers_that_accept_for_themselves_still_do() {
    for schedule in [Schedule::None, Schedule::Sharded] {
        let (mut world, workers) = sharing_under(schedule, 3);
        world.set_schedule(Schedule::Custom(Rule(only_the_second)));
        world.drive();
        for worker in &workers {
            world.process(*worker).application.busy = true;
        }
        served_by(&mut world, 6);
        assert_eq!(world.tally.accepted_by_workers, 6);
        world.process(workers[0]).application.returns = 2;
        while world.tally.returned < 2 {
            served_by(&mut world, 1);
        }
        assert_eq!(loads(&world, &workers), [0, 2, 0], "what was handed over counts");
        for worker in [workers[0], workers[2]] {
            world.process(worker).application.appetite = 0;
        }
        world.process(workers[1]).application.returns = 1;
        while world.tally.returned < 3 {
            served_by(&mut world, 1);
        }
        assert_eq!(loads(&world, &workers), [0, 3, 0], "it has got back what it gave back");
        listen_again(&mut world, &workers, ListenerId(1));
        assert_eq!(world.shared[&ListenerId(2)], Sharing::HandedOver);
    }
}

/// How a listener is shared is decided when it is asked for, not when it is bound.
#[test]
fn a_listener_is_shared_as_it_was_asked_for() {
    let mut world = World::traced();
    let workers = [world.fork(), world.fork()];
    world.drive();
    world.partial_transcript();
    for (worker, schedule) in workers.iter().zip([Schedule::None, Schedule::Sharded]) {
        world.listen(*worker, &tcp(80));
        world.drive_while(|turn| !matches!(turn, Turn::Bind(_)));
        world.set_schedule(schedule);
    }
    world.drive();
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    >        schedule None
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    >        schedule Sharded
    primary  say to 1: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    primary  say to 2: grant r1 l1 127.0.0.1:80
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    and nothing else
    ");
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let (mut world, workers) = sharing(2);
    let bound = NonZeroU32::new(99).expect("not 0");
    let senseless = Schedule::Sticky { by: Key::PeerIp, bound: Some(bound) };
    let now = world.now;
    let refused = world.primary.set_schedule(now, senseless);
    assert_eq!(refused, Err(ConfigError::StickyBound(bound)));
    world.drain_primary();
    assert_eq!(served_by(&mut world, 4), [1, 2, 1, 2]);
    assert!(workers.iter().all(|it| !world.process(*it).agent.counts()));
}

/// Turns that were missed, and cordons, are as they were.
#[test]
fn turns_and_cordons_stay() {
    let (mut world, workers) = sharing(3);
    assert_eq!(served_by(&mut world, 1), [1]);
    world.cordon(workers[2]);
    world.set_schedule(Schedule::Custom(Rule(only_the_second)));
    assert_eq!(served_by(&mut world, 3), [2, 2, 2]);
    world.set_schedule(Schedule::RoundRobin);
    assert_eq!(served_by(&mut world, 3), [1, 1, 2], "it makes up for two turns");
    world.uncordon(workers[2]);
    assert_eq!(served_by(&mut world, 1), [3]);
}
