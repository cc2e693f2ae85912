//! Connections that the operating system does not let into a passage: they stay with the primary,
//! are put in later, or go to others.

use cluster_core::ListenerId;
use cluster_core::limits::{STALLED_CHECK, STALLED_CHECKS, STALLED_CHECKS_MAX};
use insta::assert_snapshot;

use crate::handing::{connect, served, sharing};
use crate::world::process::Stage;
use crate::world::{Turn, World};

/// So many connections are handed to workers while nothing is sent.
fn hand_unsent(world: &mut World, clients: usize) {
    world.kernel.crammed = true;
    connect(world, clients);
    world.drive();
    assert_eq!(world.outside().count(), clients);
}

/// Those that come meanwhile wait behind it.
#[test]
fn put_in_when_it_is_tried_again() {
    let (mut world, workers) = sharing(1);
    hand_unsent(&mut world, 1);
    world.kernel.crammed = false;
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::Send(_)));
    assert_eq!(world.primary.load(workers[0]), (2, 0));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        a does not go into the passage to 1
    >        client b connects
    primary  hand b of l1 to 1 as h2
    >        a goes into the passage to 1
    >        b goes into the passage to 1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        worker 1 takes b from l1
    primary  close b: taken
    >        worker 1 serves b
    and nothing else
    ");
}

/// What does not fit goes in when something is taken out.
#[test]
fn a_full_passage() {
    let (mut world, workers) = sharing(1);
    world.kernel.passage_room = Some(1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 2);
    world.drive();
    world.process(workers[0]).application.appetite = 1;
    world.drive();
    world.process(workers[0]).application.appetite = 1;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 1 as h2
    >        b does not go into the passage to 1
    >        worker 1 takes a from l1
    >        b goes into the passage to 1
    primary  close a: taken
    >        worker 1 serves a
    >        worker 1 takes b from l1
    primary  close b: taken
    >        worker 1 serves b
    and nothing else
    ");
}

/// What was put in before comes first.
#[test]
fn the_worker_closes_its_listener() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    world.cordon(workers[1]);
    connect(&mut world, 1);
    world.drive();
    hand_unsent(&mut world, 1);
    world.uncordon(workers[1]);
    world.close_listener(workers[0], ListenerId(1));
    world.drive_while(|turn| !matches!(turn, Turn::Send(_)));
    world.kernel.crammed = false;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        cordon 2
    primary  say to 2: cordon
    >        client a connects
    worker 2 * cordoned
    primary  hand a of l1 to 1 as h1
    >        client b connects
    primary  hand b of l1 to 1 as h2
    >        b does not go into the passage to 1
    >        uncordon 2
    primary  say to 2: uncordon
    >        worker 1 closes l1
    worker 1 say: close l1
    primary  hand a of l1 to 2 as h3
    >        a does not go into the passage to 2
    primary  hand b of l1 to 2 as h4
    worker 2 * uncordoned
    >        a goes into the passage to 2
    >        b goes into the passage to 2
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    and nothing else
    ");
}

/// By accident, or since it was asked to leave: what it never had goes to the other.
#[test]
fn the_worker_goes() {
    for asked in [false, true] {
        let (mut world, workers) = sharing(2);
        hand_unsent(&mut world, 4);
        if asked {
            world.disconnect(workers[0], None);
        } else {
            world.crash(workers[0]);
        }
        world.drive();
        assert_eq!(world.outside().count(), 2, "the other has no room for more");
        assert_eq!(world.primary.connections(), 4);
        world.kernel.crammed = false;
        world.drive();
        assert_eq!(served(&world, 0..4, &workers), [0, 4]);
    }
}

#[test]
fn the_last_worker_goes() {
    let (mut world, workers) = sharing(1);
    hand_unsent(&mut world, 2);
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    >        a does not go into the passage to 1
    primary  hand b of l1 to 1 as h2
    >        process 1 ends, code=- signal=SIGKILL
    primary  close l1
    primary  close a: noworker
    primary  close b: noworker
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

/// A worker that does not answer meanwhile is found out; one that does has more time.
#[test]
fn the_worker_stalls() {
    for (stage, checks) in [(Stage::Blocked, STALLED_CHECKS), (Stage::Running, STALLED_CHECKS_MAX)]
    {
        let (mut world, workers) = sharing(2);
        world.cordon(workers[1]);
        hand_unsent(&mut world, 2);
        world.process(workers[0]).stage = stage;
        world.uncordon(workers[1]);
        for check in 1..=checks {
            assert!(world.outside().all(|(to, ..)| to == workers[0]), "not before check {check}");
            world.pass(STALLED_CHECK);
            world.drive();
        }
        assert!(world.outside().all(|(to, ..)| to == workers[1]), "{stage:?}");
        world.kernel.crammed = false;
        world.drive();
        assert_eq!(served(&world, 0..2, &workers), [0, 2]);
    }
}
