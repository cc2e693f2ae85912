//! Workers that do not accept from the sockets of their own: the primary finds out, accepts in
//! their place, and finds out when they are awake.

use std::time::Duration;

use cluster_core::limits::{STALLED_CHECK, STALLED_CHECKS, STALLED_CHECKS_MAX};
use cluster_core::{ListenerId, Reason};
use insta::assert_snapshot;

use crate::sharding::{connect, queued, sharing};
use crate::world::process::Stage;
use crate::world::{Turn, World};

fn check(world: &mut World) {
    world.pass(STALLED_CHECK);
    world.drive();
}

/// A worker that does not answer a probe until the next check has stalled: others get what is
/// queued for it, and it gets nothing, until it answers.
#[test]
fn a_blocked_workers_queue_is_rescued() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).stage = Stage::Blocked;
    connect(&mut world, 2);
    world.drive();
    world.partial_transcript();
    for _ in 0..STALLED_CHECKS {
        check(&mut world);
    }
    connect(&mut world, 1);
    world.drive();
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        100ms pass
    primary  inspect l1
    primary  say to 2: probe
    >        100ms pass
    primary  inspect l1
    primary  say to 2: probe
    primary  spread over l1
    primary  accept from l1/1
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client c connects
    >        worker 1 accepts c from l1
    >        worker 1 serves c
    worker 2 say: awake
    worker 2 say: awake
    primary  spread over l1 l1/1
    primary  pause l1/1
    >        client d connects
    >        client e connects
    >        worker 1 accepts d from l1
    >        worker 1 serves d
    >        worker 2 accepts e from l1/1
    >        worker 2 serves e
    and nothing else
    ");
}

/// When all have stalled, connections wait in the primary for the first that is awake: they
/// would wait with a worker otherwise, and not come back.
#[test]
fn the_first_that_wakes_up_gets_what_is_queued_for_all() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).stage = Stage::Blocked;
    }
    connect(&mut world, 4);
    check(&mut world);
    check(&mut world);
    assert_eq!((world.primary.connections(), queued(&world)), (4, vec![0, 0]));
    assert_eq!(workers.iter().map(|it| world.primary.load(*it).0).sum::<usize>(), 0);
    assert_eq!(world.deadline, None, "there is nobody to look after");
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.reader == Some(workers[1])));
    assert!(world.kernel.connections.iter().all(|it| it.served));
}

/// It answers, and does not accept: a busy application may take longer.
#[test]
fn a_worker_that_is_awake_has_more_time() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).application.appetite = 0;
    connect(&mut world, 2);
    world.drive();
    for _ in 1..STALLED_CHECKS_MAX {
        check(&mut world);
        assert_eq!(queued(&world), [0, 1]);
    }
    world.partial_transcript();
    check(&mut world);
    assert_snapshot!(world.transcript(), @"
    >        100ms pass
    primary  inspect l1
    primary  say to 2: probe
    primary  spread over l1
    primary  accept from l1/1
    worker 2 say: awake
    primary  spread over l1 l1/1
    primary  pause l1/1
    and nothing else
    ");
}

/// A queue that was empty in between does not stand.
#[test]
fn a_worker_that_accepts_does_not_stall() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.appetite = 0;
    for _ in 0..3 {
        connect(&mut world, 1);
        check(&mut world);
        world.process(workers[0]).application.appetite = 1;
        world.drive();
        check(&mut world);
    }
    assert!(world.kernel.connections.iter().all(|it| it.served));
    assert_eq!(world.tally.rescued, 0);
    assert_eq!(world.tally.probes, 3, "once for each time that it stood");
}

#[test]
fn stalled_check() {
    let (mut world, workers) = sharing(1);
    let at = world.now + STALLED_CHECK;
    assert_eq!(world.primary.next_deadline(), Some((at, Reason::Check(ListenerId(1)))));
    world.pass(STALLED_CHECK - Duration::from_nanos(1));
    assert_eq!(world.turns(), []);
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.turns(), [Turn::Inspect(ListenerId(1))]);
    world.drive();
    assert_eq!(world.deadline, Some(at + STALLED_CHECK));
    world.cordon(workers[0]);
    assert_eq!(world.deadline, None, "nobody accepts, and nobody stalls");
}
