//! Connections on their way: who gets them, and what becomes of them.

use cluster_core::primary::Input;
use cluster_core::{HandoffId, ListenerId, ToPrimary, WorkerId};
use insta::assert_snapshot;

use crate::world::process::Stage;
use crate::world::{World, tcp};

/// A traced world with workers that share port 80, and nothing said yet.
pub(crate) fn sharing(workers: usize) -> (World, Vec<WorkerId>) {
    let mut world = World::traced();
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

pub(crate) fn connect(world: &mut World, clients: usize) {
    for _ in 0..clients {
        world.connect(&tcp(80)).expect("somebody listens");
    }
}

/// How many of `numbers` each worker has served or serves.
pub(crate) fn served(
    world: &World,
    numbers: std::ops::Range<usize>,
    workers: &[WorkerId],
) -> Vec<usize> {
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
fn inflight_redispatch() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 2);
    world.drive();
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    primary  hand a of l1 to 1 as h1
    primary  hand b of l1 to 2 as h2
    >        worker 2 takes b from l1
    primary  close b: taken
    >        worker 2 serves b
    >        process 1 ends, code=- signal=SIGKILL
    primary  hand a of l1 to 2 as h3
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

/// They wait in the order in which they came.
#[test]
fn redispatched_in_order() {
    let (mut world, workers) = sharing(2);
    // Both have taken enough to be handed six.
    for _ in 0..8 {
        connect(&mut world, 1);
        world.drive();
    }
    world.partial_transcript();
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 6);
    world.drive();
    world.crash(workers[0]);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client i connects
    >        client j connects
    >        client k connects
    >        client l connects
    >        client m connects
    >        client n connects
    primary  hand i of l1 to 1 as h9
    primary  hand j of l1 to 2 as h10
    primary  hand k of l1 to 1 as h11
    primary  hand l of l1 to 2 as h12
    primary  hand m of l1 to 1 as h13
    primary  hand n of l1 to 2 as h14
    >        process 1 ends, code=- signal=SIGKILL
    primary  hand i of l1 to 2 as h15
    primary  hand k of l1 to 2 as h16
    primary  hand m of l1 to 2 as h17
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
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
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    primary  hand b of l1 to 1 as h2
    primary  hand c of l1 to 1 as h3
    >        process 1 ends, code=- signal=SIGKILL
    primary  close l1
    primary  close b: noworker
    primary  close c: noworker
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn a_leaving_worker_leaves_what_it_has_not_taken() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 1);
    world.drive();
    world.disconnect(workers[0], None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    primary  hand a of l1 to 2 as h2
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

#[test]
fn fair_with_blocked_worker() {
    let (mut world, workers) = sharing(3);
    world.process(workers[1]).stage = Stage::Blocked;
    for _ in 0..20 {
        connect(&mut world, 1);
        world.drive();
    }
    assert_eq!(served(&world, 0..20, &workers), [9, 0, 9]);
    assert_eq!(world.primary.connections(), 2);
}

#[test]
fn stray_facts() {
    let (mut world, workers) = sharing(2);
    for worker in &workers {
        world.process(*worker).application.appetite = 0;
    }
    connect(&mut world, 1);
    world.drive();
    world.partial_transcript();
    // Of a connection that is another's, and of one that never was.
    let worker = workers[1];
    for handoff in [HandoffId(1), HandoffId(99)] {
        world.tell_primary(Input::Taken { worker, handoff });
        world.tell_primary(Input::TakenBack { worker, handoff });
    }
    let closes = ToPrimary::Close { listener: ListenerId(7) };
    let listens = ToPrimary::Listening { listener: ListenerId(7) };
    for message in [closes, listens, ToPrimary::Online] {
        world.tell_primary(Input::Received { worker, message, handle: None });
    }
    assert_eq!(world.primary.connections(), 1);
    assert_snapshot!(world.transcript(), @"and nothing else");
}
