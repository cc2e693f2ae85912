//! Workers that are cordoned off: they get no new connections, and go on with those they have.

use cluster_core::{Config, ListenerId, Schedule, WorkerId};
use insta::assert_snapshot;

use crate::handing::{connect, sharing};
use crate::lending::kernel_shares;
use crate::world::process::Stage;
use crate::world::{World, tcp};

#[test]
fn others_have_its_turns() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 1);
    world.drive();
    world.cordon(workers[0]);
    world.cordon(workers[0]);
    connect(&mut world, 2);
    world.drive();
    // What it has it may still take.
    world.process(workers[0]).application.appetite = usize::MAX;
    world.drive();
    world.uncordon(workers[0]);
    world.uncordon(workers[0]);
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        cordon 1
    primary  say to 1: cordon
    >        cordon 1
    >        client b connects
    >        client c connects
    worker 1 * cordoned
    primary  hand b of l1 to 2 as h2
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    primary  hand c of l1 to 2 as h3
    >        worker 2 takes c from l1
    primary  close c: taken
    >        worker 2 serves c
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        uncordon 1
    primary  say to 1: uncordon
    >        uncordon 1
    >        client d connects
    worker 1 * uncordoned
    primary  hand d of l1 to 1 as h4
    >        worker 1 takes d from l1
    primary  close d: taken
    >        worker 1 serves d
    and nothing else
    ");
}

/// Connections wait while all are cordoned off.
#[test]
fn all_are_cordoned_off() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.cordon(*worker);
    }
    connect(&mut world, 3);
    world.drive();
    assert_eq!(world.primary.connections(), 3);
    world.uncordon(workers[1]);
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.reader == Some(workers[1])));
}

/// Where a worker accepts itself, it is told not to.
#[test]
fn one_that_accepts_itself_stops() {
    let mut world = kernel_shares();
    let workers = [(); 2].map(|()| world.fork_listening(&[tcp(80)]));
    world.partial_transcript();
    world.cordon(workers[0]);
    world.drive();
    connect(&mut world, 2);
    world.drive();
    world.process(workers[1]).stage = Stage::Blocked;
    connect(&mut world, 1);
    world.drive();
    world.uncordon(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        cordon 1
    primary  say to 1: cordon
    worker 1 * cordoned
    >        client a connects
    >        client b connects
    >        worker 2 accepts a from l1
    >        worker 2 serves a
    >        worker 2 accepts b from l1
    >        worker 2 serves b
    >        client c connects
    >        uncordon 1
    primary  say to 1: uncordon
    worker 1 * uncordoned
    >        worker 1 accepts c from l1
    >        worker 1 serves c
    and nothing else
    ");
}

/// A worker that is cordoned off gets nothing that another gives back, either.
#[test]
fn what_is_given_back_does_not_go_there() {
    let mut world = kernel_shares();
    let workers = [(); 3].map(|()| world.fork_listening(&[tcp(80)]));
    world.cordon(workers[1]);
    world.drive();
    world.process(workers[0]).application.returns = 1;
    connect(&mut world, 1);
    world.drive();
    assert_eq!(world.kernel.connections[0].reader, Some(workers[2]));
}

/// A cordon is a worker's, from before it listens, and for its life.
#[test]
fn before_it_listens_and_after_it_is_gone() {
    let mut world = World::new(Config::default());
    let first = world.fork();
    world.cordon(first);
    world.drive();
    world.listen(first, &tcp(80));
    world.drive();
    let second = world.fork_listening(&[tcp(80)]);
    assert!(world.process(first).agent.is_cordoned() && !world.process(second).agent.is_cordoned());
    for _ in 0..4 {
        connect(&mut world, 1);
        world.drive();
    }
    assert!(world.kernel.connections.iter().all(|it| it.reader == Some(second)));
    world.crash(first);
    world.drive();
    assert!(!world.primary.is_cordoned(first));
    assert!(world.primary.cordon(first).is_err() && world.primary.uncordon(first).is_err());
}

#[test]
fn one_that_could_not_be_started_is_cordoned_no_longer() {
    let mut world = World::new(Config::default());
    world.spawn_error = Some(cluster_core::OsError(11));
    let worker = world.fork();
    world.cordon(worker);
    world.drive();
    assert!(!world.primary.is_cordoned(worker));
}

/// Who sticks to a worker that is cordoned off goes to another, and comes back after it.
#[test]
fn a_sticky_peer_goes_elsewhere_for_the_time() {
    let schedule = Schedule::Sticky { by: cluster_core::Key::PeerIp, bound: None };
    let mut world = World::new(Config::new(schedule, 8, 8).expect("sensible"));
    let workers: Vec<WorkerId> = (0..3).map(|_| world.fork_listening(&[tcp(80)])).collect();
    // Seven peers come, and come again.
    let mut come = || {
        let before = world.kernel.connections.len();
        for _ in 0..7 {
            connect(&mut world, 1);
            world.drive();
        }
        let readers = world.kernel.connections[before..].iter().map(|it| it.reader.expect("read"));
        readers.collect::<Vec<_>>()
    };
    let usual = come();
    assert_eq!(come(), usual);
    let cordoned = usual[0];
    world.cordon(cordoned);
    world.drive();
    let mut come = || {
        let before = world.kernel.connections.len();
        for _ in 0..7 {
            connect(&mut world, 1);
            world.drive();
        }
        let readers = world.kernel.connections[before..].iter().map(|it| it.reader.expect("read"));
        readers.collect::<Vec<_>>()
    };
    let meanwhile = come();
    for (usual, meanwhile) in usual.iter().zip(&meanwhile) {
        assert_ne!(*meanwhile, cordoned);
        assert!(usual == meanwhile || *usual == cordoned, "only its own peers move");
    }
    assert!(workers.contains(&cordoned) && world.primary.is_cordoned(cordoned));
    assert_eq!(world.process(cordoned).application.listeners, [ListenerId(1)], "it keeps them");
}
