//! Connections on their way: who gets them, and what becomes of them.

use std::time::Duration;

use cluster_core::primary::Input;
use cluster_core::{HandoffId, ListenerId, ToPrimary, WorkerId};
use insta::assert_snapshot;

use crate::world::{Turn, World, tcp};

/// A traced world with workers that share port 80, and nothing said yet.
fn sharing(workers: usize) -> (World, Vec<WorkerId>) {
    let mut world = World::traced();
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

fn connect(world: &mut World, clients: usize) {
    for _ in 0..clients {
        world.connect(&tcp(80)).expect("somebody listens");
    }
}

/// How many of `numbers` each worker has served or serves.
fn served(world: &World, numbers: std::ops::Range<usize>, workers: &[WorkerId]) -> Vec<usize> {
    let readers: Vec<_> = world.kernel.connections[numbers].iter().map(|it| it.reader).collect();
    let by = |worker| readers.iter().filter(|reader| **reader == Some(worker)).count();
    workers.iter().map(|worker| by(*worker)).collect()
}

#[test]
fn idle_workers_take_turns() {
    let (mut world, workers) = sharing(3);
    for _ in 0..9 {
        connect(&mut world, 1);
        world.drive();
    }
    let order: Vec<_> = world.kernel.connections.iter().filter_map(|it| it.reader).collect();
    assert_eq!(order, [&workers[..], &workers[..], &workers[..]].concat());
}

/// One that arrives late, and one that goes, leave the others' turns as they are.
#[test]
fn all_get_the_same_when_all_are_idle() {
    let (mut world, mut workers) = sharing(4);
    connect(&mut world, 102);
    world.drive();
    assert!(served(&world, 0..102, &workers).iter().all(|count| (25..=26).contains(count)));
    world.crash(workers.remove(1));
    workers.push(world.fork_listening(&[tcp(80)]));
    connect(&mut world, 100);
    world.drive();
    assert!(served(&world, 102..202, &workers).iter().all(|count| (24..=26).contains(count)));
}

#[test]
fn refused_goes_to_another() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.blind = 1;
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 say: refused h1
    primary  say to 2: connection l1 h2, with a
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

#[test]
fn all_refuse_does_not_spin() {
    let (mut world, workers) = sharing(2);
    for worker in workers {
        world.process(worker).application.blind = 1;
    }
    connect(&mut world, 2);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  say to 1: connection l1 h1, with a
    worker 1 say: refused h1
    primary  say to 2: connection l1 h2, with a
    worker 2 say: refused h2
    primary  close a: noworker
    primary  say to 1: connection l1 h3, with b
    worker 1 * available l1
    worker 1 say: taken h3
    worker 1 deliver b from l1
    primary  close b: taken
    >        worker 1 serves b
    and nothing else
    ");
}

/// A connection that only a blocked worker could have keeps nobody waiting but itself.
#[test]
fn refused_holds_up_nobody() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).stage = crate::world::process::Stage::Blocked;
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 16);
    world.drive();
    let first = world.process(workers[0]);
    first.application.appetite = usize::MAX;
    first.application.blind = 1;
    connect(&mut world, 2);
    world.drive();
    assert_eq!(world.primary.connections(), 9, "the window of the blocked one, and one more");
    world.process(workers[1]).stage = crate::world::process::Stage::Running;
    world.drive();
    assert_eq!(world.primary.connections(), 0);
    assert!(world.kernel.connections.iter().all(|it| it.served));
}

/// The only one that has not refused goes: there is nobody left to wait for.
#[test]
fn refused_and_then_the_last_hope_goes() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.blind = 1;
    connect(&mut world, 1);
    world.drive_while(|turn| turn != Turn::ReadDown(workers[1]));
    world.crash(workers[1]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 say: refused h1
    primary  say to 2: connection l1 h2, with a
    >        process 2 ends, code=- signal=SIGKILL
    primary  close a: noworker
    primary  * disconnect 2 exited_after_disconnect=false
    primary  * exit 2 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn inflight_redispatch() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 3);
    world.drive();
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    primary  say to 2: connection l1 h2, with b
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver b from l1
    primary  close b: taken
    >        worker 2 serves b
    primary  say to 2: connection l1 h3, with c
    worker 2 * available l1
    worker 2 say: taken h3
    worker 2 deliver c from l1
    primary  close c: taken
    >        worker 2 serves c
    >        process 1 ends, code=- signal=SIGKILL
    primary  say to 2: connection l1 h4, with a
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    worker 2 * available l1
    worker 2 say: taken h4
    worker 2 deliver a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

/// They wait in the order in which they came.
#[test]
fn redispatched_in_order() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 6);
    world.drive();
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    >        client d connects
    >        client e connects
    >        client f connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    primary  say to 2: connection l1 h2, with b
    worker 2 * available l1
    primary  say to 1: connection l1 h3, with c
    worker 1 * available l1
    primary  say to 2: connection l1 h4, with d
    worker 2 * available l1
    primary  say to 1: connection l1 h5, with e
    worker 1 * available l1
    primary  say to 2: connection l1 h6, with f
    worker 2 * available l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  say to 2: connection l1 h7, with a
    primary  say to 2: connection l1 h8, with c
    primary  say to 2: connection l1 h9, with e
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    worker 2 * available l1
    worker 2 * available l1
    worker 2 * available l1
    and nothing else
    ");
}

#[test]
fn the_last_worker_dies_with_connections() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.appetite = 1;
    world.process(workers[0]).application.busy = true;
    connect(&mut world, 3);
    world.drive();
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        client c connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    primary  close a: taken
    primary  say to 1: connection l1 h2, with b
    worker 1 * available l1
    primary  say to 1: connection l1 h3, with c
    worker 1 * available l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  close l1
    primary  close c: noworker
    primary  close b: noworker
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

/// What was not said to be taken is not lost, even between the application's accept and the
/// word to the primary.
#[test]
fn a_worker_dies_between_take_and_taken() {
    let (mut world, workers) = sharing(2);
    connect(&mut world, 1);
    world.drive_while(|turn| turn != Turn::Work(workers[0]));
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  say to 2: connection l1 h2, with a
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

#[test]
fn a_leaving_worker_refuses_what_it_has_not_taken() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 1);
    world.drive();
    world.disconnect(workers[0], None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 say: close l1
    worker 1 close a
    worker 1 say: refused h1
    worker 1 * closed l1
    worker 1 watch for idleness
    primary  say to 2: connection l1 h2, with a
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

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
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    worker 1 say: returned l1, with a
    >        worker 1 closes l1
    worker 1 say: close l1
    primary  close a: taken
    primary  say to 2: connection l1 h2, with a
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver a from l1
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
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    worker 1 say: returned l1, with a
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    primary  close a: taken
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
    let deliver = |turn: Turn| !matches!(turn, Turn::Work(_));
    connect(&mut world, 1);
    world.drive_while(deliver);
    world.process(workers[0]).application.returns = 1;
    world.leave(workers[0]);
    world.close_channel(workers[0]);
    world.drive_while(deliver);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
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
fn fair_with_blocked_worker() {
    let (mut world, workers) = sharing(3);
    world.process(workers[1]).stage = crate::world::process::Stage::Blocked;
    for _ in 0..20 {
        connect(&mut world, 1);
        world.drive();
    }
    assert_eq!(served(&world, 0..20, &workers), [10, 0, 9]);
    assert_eq!(world.primary.connections(), 1);
}

#[test]
fn stray_acknowledgements() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 1);
    world.drive();
    world.partial_transcript();
    let stray = |handoff| [ToPrimary::Taken { handoff }, ToPrimary::Refused { handoff }];
    // Of a connection that is another's, and of one that never was.
    for message in [stray(HandoffId(1)), stray(HandoffId(99))].concat() {
        world.tell_primary(Input::Received { worker: workers[1], message, handle: None });
    }
    let closes = ToPrimary::Close { listener: ListenerId(7) };
    let listens = ToPrimary::Listening { listener: ListenerId(7) };
    for message in [closes, listens, ToPrimary::Online] {
        world.tell_primary(Input::Received { worker: workers[1], message, handle: None });
    }
    assert_eq!(world.primary.connections(), 1);
    assert_snapshot!(world.transcript(), @"
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
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client b connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    and nothing else
    ");
}

/// A descriptor that is closed makes room for another.
#[test]
fn accept_is_tried_again_when_a_connection_ends() {
    let (mut world, workers) = sharing(1);
    connect(&mut world, 1);
    world.drive_while(|turn| turn != Turn::Work(workers[0]));
    world.kernel.exhausted = true;
    connect(&mut world, 1);
    world.drive_while(|turn| turn != Turn::Work(workers[0]));
    world.kernel.exhausted = false;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    worker 1 say: taken h1
    worker 1 deliver a from l1
    >        client b connects
    primary  pause l1
    primary  * accept failed 127.0.0.1:80 os error 24
    primary  close a: taken
    primary  accept from l1
    >        worker 1 serves a
    primary  say to 1: connection l1 h2, with b
    worker 1 * available l1
    worker 1 say: taken h2
    worker 1 deliver b from l1
    primary  close b: taken
    >        worker 1 serves b
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
