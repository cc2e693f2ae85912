//! Connections that a worker does not take, though others could have them.

use cluster_core::limits::{STALLED_CHECK, STALLED_CHECKS, STALLED_CHECKS_MAX, WINDOW_START};
use cluster_core::{Config, WorkerId};
use insta::assert_snapshot;

use crate::handing::{connect, sharing};
use crate::world::process::Stage;
use crate::world::{World, tcp};

fn check(world: &mut World) {
    world.pass(STALLED_CHECK);
    world.drive();
}

fn untaken(world: &World, workers: &[WorkerId]) -> Vec<usize> {
    workers.iter().map(|worker| world.primary.load(*worker).0).collect()
}

fn served(world: &World) -> usize {
    world.kernel.connections.iter().filter(|it| it.served).count()
}

/// One that does not answer until the next check loses what it has not taken, and gets nothing
/// until it is awake.
#[test]
fn what_a_blocked_worker_was_handed_goes_to_others() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).stage = Stage::Blocked;
    connect(&mut world, 3);
    world.drive();
    world.partial_transcript();
    for _ in 0..STALLED_CHECKS {
        check(&mut world);
    }
    connect(&mut world, 1);
    world.drive();
    world.process(workers[0]).stage = Stage::Running;
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        100ms pass
    primary  say to 1: probe
    >        100ms pass
    primary  take back from 1 what is left of l1
    primary  say to 1: probe
    primary  hand a of l1 to 2 as h4
    primary  hand c of l1 to 2 as h5
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    >        worker 2 takes c from l1
    primary  close c: taken
    >        worker 2 serves c
    >        client d connects
    primary  hand d of l1 to 2 as h6
    >        worker 2 takes d from l1
    primary  close d: taken
    >        worker 2 serves d
    worker 1 say: awake
    worker 1 say: awake
    >        client e connects
    >        client f connects
    primary  hand e of l1 to 1 as h7
    >        worker 1 takes e from l1
    primary  close e: taken
    >        worker 1 serves e
    primary  hand f of l1 to 2 as h8
    >        worker 2 takes f from l1
    primary  close f: taken
    >        worker 2 serves f
    and nothing else
    ");
}

/// It answers, and does not take: a busy application may take longer. If it does not in the end,
/// it gets one at a time.
#[test]
fn a_worker_that_is_awake_has_more_time() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 4);
    world.drive();
    for _ in 1..STALLED_CHECKS_MAX {
        check(&mut world);
        assert_eq!(untaken(&world, &workers), [2, 0]);
    }
    check(&mut world);
    assert_eq!(untaken(&world, &workers), [0, 0]);
    connect(&mut world, 4);
    world.drive();
    assert_eq!(untaken(&world, &workers), [1, 0]);
    assert_eq!(served(&world), 7);
}

/// Whatever it takes in between, it is not late; but what it has not taken after all that time is
/// for others.
#[test]
fn a_slow_worker_keeps_what_it_has_for_a_while() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 4);
    world.drive();
    for _ in 1..STALLED_CHECKS_MAX {
        check(&mut world);
    }
    world.process(workers[0]).application.appetite = 1;
    world.drive();
    assert_eq!((served(&world), world.tally.rescued_untaken), (3, 0));
    check(&mut world);
    assert_eq!((served(&world), world.tally.rescued_untaken), (4, 1));
}

/// Nobody else could have it: it stays until there is somebody.
#[test]
fn what_nobody_else_could_have_stays() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).stage = Stage::Blocked;
    connect(&mut world, WINDOW_START);
    world.drive();
    assert_eq!(world.deadline, None, "there is nobody else");
    let other = world.fork_listening(&[tcp(80)]);
    assert_eq!(served(&world), 0);
    for _ in 0..STALLED_CHECKS {
        check(&mut world);
    }
    assert_eq!(served(&world), WINDOW_START);
    assert!(world.kernel.connections.iter().all(|it| it.reader == Some(other)));
}

/// Others have no room either: they are not asked to wait in another queue.
#[test]
fn where_no_other_has_room_nothing_is_taken_back() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).stage = Stage::Blocked;
    }
    connect(&mut world, 2 * WINDOW_START);
    world.drive();
    for _ in 0..2 * STALLED_CHECKS_MAX {
        check(&mut world);
    }
    assert_eq!(untaken(&world, &workers), [WINDOW_START; 2]);
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    for _ in 0..STALLED_CHECKS {
        check(&mut world);
    }
    assert_eq!(untaken(&world, &workers), [0, 0]);
    assert_eq!(served(&world), 2 * WINDOW_START);
}

/// A worker that was asked to leave, and does not hear it, keeps nothing either.
#[test]
fn a_blocked_worker_that_is_to_leave_keeps_nothing() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).stage = Stage::Blocked;
    connect(&mut world, 2);
    world.drive();
    world.disconnect(workers[0], None);
    for _ in 0..STALLED_CHECKS {
        check(&mut world);
    }
    assert_eq!(untaken(&world, &workers), [0, 0]);
    assert_eq!(served(&world), 2);
}

/// A worker of two listeners, whose application takes nothing of the first any more.
fn paused_at_one(world: &mut World) -> WorkerId {
    let worker = world.fork_listening(&[tcp(80), tcp(81)]);
    world.process(worker).application.listeners.remove(0);
    worker
}

/// That it takes from one listener is no reason to let others wait at another.
#[test]
fn what_a_worker_takes_elsewhere_is_no_excuse_for_long() {
    let mut world = World::new(Config::default());
    let worker = paused_at_one(&mut world);
    world.connect(&tcp(80)).expect("somebody listens");
    world.drive();
    let other = world.fork_listening(&[tcp(80)]);
    for checks in 1..=STALLED_CHECKS_MAX {
        assert_eq!((untaken(&world, &[worker]), served(&world)), (vec![1], checks as usize - 1));
        world.connect(&tcp(81)).expect("somebody listens");
        check(&mut world);
    }
    check(&mut world);
    assert_eq!(untaken(&world, &[worker, other]), [0, 0]);
    assert_eq!(world.kernel.connections[0].reader, Some(other));
}

/// A listener that nobody accepts from keeps no other waiting.
#[test]
fn a_listener_that_is_paused_is_no_reason_to_let_others_wait() {
    let mut world = World::new(Config::default());
    paused_at_one(&mut world);
    connect(&mut world, 100);
    world.drive();
    let before = served(&world);
    for number in 1..=20 {
        world.connect(&tcp(81)).expect("somebody listens");
        world.drive();
        assert_eq!(served(&world), before + number);
    }
}

/// Nor do those that wait for it use up the budget of all.
#[test]
fn a_listener_that_is_paused_leaves_room_for_others() {
    let config = Config::default().with_budget(64).expect("one");
    let mut world = World::new(config);
    let worker = paused_at_one(&mut world);
    connect(&mut world, 200);
    world.drive();
    let before = served(&world);
    for number in 1..=20 {
        let held = world.primary.connections();
        assert!((30..40).contains(&held), "half of the budget, and what is in flight: {held}");
        world.connect(&tcp(81)).expect("somebody listens");
        world.drive();
        assert_eq!(served(&world), before + number);
    }
    // It goes on, and comes to all that is left in the kernel.
    let all = world.shared.keys().copied().collect();
    world.process(worker).application.listeners = all;
    world.drive();
    assert_eq!(served(&world), 220);
}
