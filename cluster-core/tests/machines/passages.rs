//! Passages: what workers take out of them, and what the primary takes back.

use cluster_core::{ListenError, ListenerId};
use insta::assert_snapshot;

use crate::handing::{connect, served, sharing};
use crate::world::process::Stage;
use crate::world::{Turn, tcp};

/// The worker has it from the moment it takes it, whenever the primary looks.
#[test]
fn taken_and_told_late() {
    let (mut world, _) = sharing(1);
    connect(&mut world, 3);
    world.drive_while(|turn| !matches!(turn, Turn::Look(_)));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    >        worker 1 serves a
    primary  hand b of l1 to 1 as h2
    >        worker 1 takes b from l1
    >        worker 1 serves b
    primary  close a: taken
    primary  hand c of l1 to 1 as h3
    primary  close b: taken
    >        worker 1 takes c from l1
    primary  close c: taken
    >        worker 1 serves c
    and nothing else
    ");
}

/// What a worker has taken is told before what it says afterwards.
#[test]
fn taken_is_told_before_what_comes_next() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.returns = 1;
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::Look(_)));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    worker 1 say: returned l1, with a
    primary  close a: taken
    primary  hand a of l1 to 2 as h2
    >        worker 2 takes a from l1
    >        worker 2 serves a
    primary  close a: taken
    and nothing else
    ");
}

/// It is lost with the worker that had taken it, and nobody else gets it.
#[test]
fn a_worker_dies_with_what_it_took_untold() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.busy = true;
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::Look(_)));
    world.crash(workers[0]);
    world.drive_while(|turn| !matches!(turn, Turn::Look(_)));
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  close a: taken
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn a_listener_closed_with_connections_in_its_passage() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 3);
    world.drive();
    world.close_listener(workers[0], ListenerId(1));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 2 as h2
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    primary  hand c of l1 to 1 as h3
    >        worker 1 closes l1
    worker 1 say: close l1
    primary  hand a of l1 to 2 as h4
    primary  hand c of l1 to 2 as h5
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    >        worker 2 takes c from l1
    primary  close c: taken
    >        worker 2 serves c
    and nothing else
    ");
}

/// Nobody else has room: they wait again in the order in which they came.
#[test]
fn taken_back_in_order() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 6);
    world.drive();
    world.partial_transcript();
    world.close_listener(workers[0], ListenerId(1));
    world.process(workers[1]).application.appetite = usize::MAX;
    world.drive_while(|turn| !matches!(turn, Turn::Take(..)));
    world.drive_while(|turn| !matches!(turn, Turn::Finish(_)));
    assert_eq!(world.process(workers[1]).application.serving, [1, 3, 0, 2, 4, 5]);
    world.drive();
    assert_eq!(world.primary.connections(), 0);
}

#[test]
fn the_last_sharer_closes_with_connections_in_its_passage() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 2);
    world.drive();
    world.close_listener(workers[0], ListenerId(1));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 1 as h2
    >        worker 1 closes l1
    worker 1 say: close l1
    primary  close l1
    primary  close a: noworker
    primary  close b: noworker
    and nothing else
    ");
}

/// It gets a passage of its own, and nothing from the one before.
#[test]
fn a_listener_closed_and_shared_anew() {
    let (mut world, workers) = sharing(2);
    world.cordon(workers[1]);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 1);
    world.drive();
    world.close_listener(workers[0], ListenerId(1));
    world.listen(workers[0], &tcp(80));
    world.process(workers[0]).application.appetite = usize::MAX;
    world.drive();
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        cordon 2
    primary  say to 2: cordon
    >        client a connects
    worker 2 * cordoned
    primary  hand a of l1 to 1 as h1
    >        worker 1 closes l1
    worker 1 say: close l1
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r2 127.0.0.1:80
    primary  say to 1: grant r2 l1 127.0.0.1:80
    primary  hand a of l1 to 1 as h2
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r2 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client b connects
    primary  hand b of l1 to 1 as h3
    >        worker 1 takes b from l1
    primary  close b: taken
    >        worker 1 serves b
    and nothing else
    ");
}

/// The application goes on taking while the primary takes back: each connection is one's.
#[test]
fn taken_while_the_rest_is_taken_back() {
    let (mut world, workers) = sharing(2);
    for _ in 0..4 {
        connect(&mut world, 1);
        world.drive();
    }
    world.partial_transcript();
    world.process(workers[0]).application.appetite = 0;
    world.cordon(workers[1]);
    connect(&mut world, 3);
    world.drive();
    world.disconnect(workers[0], None);
    world.drive_while(|turn| !matches!(turn, Turn::TakeBack | Turn::LetGo(_)));
    world.step(Turn::TakeBack);
    world.process(workers[0]).application.appetite = 1;
    world.drive_while(|turn| matches!(turn, Turn::Take(..)));
    world.uncordon(workers[1]);
    world.drive();
    assert_eq!(served(&world, 4..7, &workers), [1, 2]);
    assert_snapshot!(world.transcript(), @"
    >        cordon 2
    primary  say to 2: cordon
    >        client e connects
    >        client f connects
    >        client g connects
    worker 2 * cordoned
    primary  hand e of l1 to 1 as h5
    primary  hand f of l1 to 1 as h6
    primary  hand g of l1 to 1 as h7
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    >        worker 1 takes f from l1
    >        uncordon 2
    primary  close f: taken
    primary  say to 2: uncordon
    primary  hand e of l1 to 2 as h8
    primary  hand g of l1 to 2 as h9
    >        worker 1 serves f
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    worker 2 * uncordoned
    >        worker 2 takes e from l1
    primary  close e: taken
    >        worker 2 serves e
    >        worker 2 takes g from l1
    primary  close g: taken
    >        worker 2 serves g
    and nothing else
    ");
}

/// The worker has no room for the passage: what was put in meanwhile goes to another.
#[test]
fn a_passage_that_is_lost_on_its_way() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).stage = Stage::Blocked;
    let second = world.fork_listening(&[]);
    connect(&mut world, 3);
    world.drive();
    world.partial_transcript();
    world.process(second).application.blind = 1;
    world.listen(second, &tcp(80));
    world.drive();
    assert_eq!(world.process(second).application.failed, [ListenError::Lost]);
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    primary  hand c of l1 to 2 as h3
    worker 2 say: close l1
    worker 2 * listen failed r1: the listener's descriptor was lost on its way
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  say to 2: grant r2 l1 127.0.0.1:80
    primary  hand c of l1 to 2 as h4
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r2 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    >        worker 2 takes c from l1
    primary  close c: taken
    >        worker 2 serves c
    and nothing else
    ");
}

/// The primary has no descriptors for it: what would have been put in goes on waiting.
#[test]
fn a_passage_that_cannot_be_opened() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).stage = Stage::Blocked;
    let second = world.fork_listening(&[]);
    connect(&mut world, 4);
    world.drive();
    world.partial_transcript();
    world.kernel.exhausted = true;
    world.listen(second, &tcp(80));
    world.drive();
    world.kernel.exhausted = false;
    assert_eq!(world.primary.connections(), 4);
    world.process(workers[0]).stage = Stage::Running;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    >        no descriptor is left for a passage
    primary  say to 2: deny r1: os error 24
    worker 2 * listen failed r1: os error 24
    >        worker 1 takes a from l1
    primary  close a: taken
    primary  hand c of l1 to 1 as h5
    primary  hand d of l1 to 1 as h6
    >        worker 1 serves a
    >        worker 1 takes b from l1
    primary  close b: taken
    >        worker 1 serves b
    >        worker 1 takes c from l1
    primary  close c: taken
    >        worker 1 serves c
    >        worker 1 takes d from l1
    primary  close d: taken
    >        worker 1 serves d
    and nothing else
    ");
}
