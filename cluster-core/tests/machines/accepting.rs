//! Where connections come from: the kernel, and workers that give them back.

use std::time::Duration;

use insta::assert_snapshot;

use crate::handing::{connect, sharing};
use crate::world::Turn;

#[test]
fn given_back_goes_to_another() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.returns = 1;
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::ReadUp(_)));
    // It drops its listener, and what was delivered to it.
    let listener = world.process(workers[0]).application.listeners[0];
    world.close_listener(workers[0], listener);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    worker 1 say: returned l1, with a
    primary  close a: taken
    >        worker 1 closes l1
    worker 1 say: close l1
    primary  hand a of l1 to 2 as h2
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

#[test]
fn given_back_when_nobody_is_left() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.returns = 1;
    connect(&mut world, 1);
    world.drive_while(|turn| !matches!(turn, Turn::ReadUp(_)));
    world.disconnect(workers[0], None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    worker 1 say: returned l1, with a
    primary  close a: taken
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    primary  close a: noworker
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

/// A worker that has no channel any more has nobody to give back to.
#[test]
fn given_back_without_a_channel() {
    let (mut world, workers) = sharing(1);
    // The primary does not listen, and the application is slow to hear that it is to take no more.
    let late = |turn: Turn| matches!(turn, Turn::ReadUp(_) | Turn::EndUp(_) | Turn::LetGo(_));
    let takes = |turn: Turn| matches!(turn, Turn::Take(..));
    connect(&mut world, 1);
    world.drive_while(|turn| !takes(turn));
    world.process(workers[0]).application.returns = 1;
    world.leave(workers[0]);
    world.close_channel(workers[0]);
    world.drive_while(|turn| !late(turn) && !takes(turn));
    world.drive_while(|turn| !late(turn));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    >        close the channel to 1
    primary  close l1
    primary  end the channel to 1
    worker 1 * disconnect
    >        worker 1 takes a from l1
    worker 1 close a
    primary  close a: taken
    primary  * draining 1
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn accept_rests_and_is_tried_again() {
    let (mut world, _) = sharing(1);
    world.kernel.exhausted = true;
    connect(&mut world, 1);
    world.drive();
    world.pass(Duration::from_millis(50));
    world.drive();
    world.kernel.exhausted = false;
    world.pass(Duration::from_millis(50));
    world.drive();
    // It is news again when it fails again.
    world.kernel.exhausted = true;
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    >        50ms pass
    primary  accept from l1
    primary  pause l1
    >        50ms pass
    primary  accept from l1
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client b connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    and nothing else
    ");
}

/// A descriptor that is handed over makes room for another.
#[test]
fn accept_is_tried_again_when_a_connection_is_handed_over() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 3);
    world.drive();
    world.kernel.exhausted = true;
    connect(&mut world, 1);
    world.drive();
    world.kernel.exhausted = false;
    world.process(workers[0]).application.appetite = 1;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 1 as h2
    >        client d connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    >        worker 1 takes a from l1
    primary  close a: taken
    primary  hand c of l1 to 1 as h3
    primary  accept from l1
    >        worker 1 serves a
    primary  hand d of l1 to 1 as h4
    and nothing else
    ");
}

#[test]
fn a_listener_that_rests_is_closed() {
    let (mut world, workers) = sharing(1);
    world.kernel.exhausted = true;
    connect(&mut world, 1);
    world.drive();
    world.disconnect(workers[0], None);
    world.drive();
    assert_eq!(world.deadline, None);
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}
