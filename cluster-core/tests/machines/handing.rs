//! Connections on their way: who gets them, and what becomes of them.

use cluster_core::primary::Input;
use cluster_core::{HandoffId, ListenerId, ToPrimary, WorkerId};
use insta::assert_snapshot;

use crate::world::process::Stage;
use crate::world::{Turn, World, tcp};

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
    world.process(workers[1]).stage = Stage::Blocked;
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 4);
    world.drive();
    let first = world.process(workers[0]);
    first.application.appetite = usize::MAX;
    first.application.blind = 1;
    connect(&mut world, 2);
    world.drive();
    assert_eq!(world.primary.connections(), 3, "the window of the blocked one, and one more");
    world.process(workers[1]).stage = Stage::Running;
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

/// It waits for the only one that has not refused it, and that has no room, and leaves.
#[test]
fn refused_and_then_the_last_hope_leaves() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).stage = Stage::Blocked;
    world.process(workers[0]).application.appetite = 0;
    connect(&mut world, 4);
    world.drive();
    world.process(workers[0]).application.blind = 1;
    world.process(workers[0]).application.appetite = usize::MAX;
    connect(&mut world, 1);
    world.drive();
    world.partial_transcript();
    world.disconnect(workers[1], None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        disconnect 2
    primary  * draining 2
    primary  say to 2: disconnect
    primary  close e: noworker
    and nothing else
    ");
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
    primary  say to 1: connection l1 h1, with a
    worker 1 * available l1
    primary  say to 2: connection l1 h2, with b
    worker 2 * available l1
    worker 2 say: taken h2
    worker 2 deliver b from l1
    primary  close b: taken
    >        worker 2 serves b
    >        process 1 ends, code=- signal=SIGKILL
    primary  say to 2: connection l1 h3, with a
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    worker 2 * available l1
    worker 2 say: taken h3
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
    primary  say to 1: connection l1 h9, with i
    worker 1 * available l1
    primary  say to 2: connection l1 h10, with j
    worker 2 * available l1
    primary  say to 1: connection l1 h11, with k
    worker 1 * available l1
    primary  say to 2: connection l1 h12, with l
    worker 2 * available l1
    primary  say to 1: connection l1 h13, with m
    worker 1 * available l1
    primary  say to 2: connection l1 h14, with n
    worker 2 * available l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  say to 2: connection l1 h15, with i
    primary  say to 2: connection l1 h16, with k
    primary  say to 2: connection l1 h17, with m
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
    assert_snapshot!(world.transcript(), @"and nothing else");
}
