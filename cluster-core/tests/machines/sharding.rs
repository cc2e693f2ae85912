//! Listeners of which each worker has a socket of its own.

use cluster_core::{Address, Config, ListenerId, Reason, Schedule, SlotId, WorkerId};
use insta::assert_snapshot;

use crate::world::kernel::Holder;
use crate::world::process::Stage;
use crate::world::{Turn, World, tcp, udp};

/// A traced world in which each worker has a socket of its own.
fn sharded() -> World {
    World::traced_with(Config::new(Schedule::Sharded, 8, 8).expect("sensible"))
}

/// Some workers that listen on port 80 in such a world, and nothing said yet.
pub(crate) fn sharing(workers: usize) -> (World, Vec<WorkerId>) {
    let mut world = sharded();
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

/// So many clients, one after the other in the slots that the kernel spreads over.
pub(crate) fn connect(world: &mut World, clients: usize) {
    for _ in 0..clients {
        world.connect(&tcp(80)).expect("somebody listens");
    }
}

/// The next client comes into this one of the slots that the kernel spreads over.
fn connect_at(world: &mut World, place: usize) {
    world.kernel.turn = place;
    world.kernel.turn = world.kernel.turn.wrapping_sub(1);
    connect(world, 1);
}

/// How many are queued in each slot.
pub(crate) fn queued(world: &World) -> Vec<u32> {
    world.kernel.queued(ListenerId(1))
}

#[test]
fn each_has_a_socket_of_its_own() {
    let mut world = sharded();
    let first = world.fork();
    world.drive();
    world.listen(first, &tcp(80));
    world.drive();
    let second = world.fork();
    world.drive();
    world.listen(second, &tcp(80));
    world.drive();
    connect(&mut world, 4);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        fork 1
    primary  spawn 1
    primary  * fork 1 pid 101
    worker 1 say: online
    primary  * online 1
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  spread over l1
    primary  say to 1: grant r1 l1 127.0.0.1:80, with a copy of l1
    primary  accept from l1
    worker 1 adopt the passage of l1
    worker 1 adopt l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  pause l1
    primary  * listening 1 127.0.0.1:80
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  open l1/1
    primary  accept from l1/1
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1/1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  spread over l1 l1/1
    primary  pause l1/1
    primary  * listening 2 127.0.0.1:80
    >        client a connects
    >        client b connects
    >        client c connects
    >        client d connects
    >        worker 1 accepts b from l1
    >        worker 1 serves b
    >        worker 1 accepts d from l1
    >        worker 1 serves d
    >        worker 2 accepts a from l1/1
    >        worker 2 serves a
    >        worker 2 accepts c from l1/1
    >        worker 2 serves c
    and nothing else
    ");
}

/// Nothing waits for a worker that has not adopted its socket yet.
#[test]
fn until_a_worker_listens_the_primary_accepts() {
    let mut world = sharded();
    let worker = world.fork_listening(&[]);
    world.listen(worker, &tcp(80));
    let not_read = |turn: Turn| !matches!(turn, Turn::ReadDown(_));
    world.drive_while(not_read);
    world.partial_transcript();
    connect(&mut world, 1);
    world.drive_while(not_read);
    world.drive();
    connect(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    worker 1 adopt the passage of l1
    worker 1 adopt l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  pause l1
    primary  * listening 1 127.0.0.1:80
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client b connects
    >        worker 1 accepts b from l1
    >        worker 1 serves b
    and nothing else
    ");
}

/// The kernel puts nothing more into the slot before the primary accepts the rest; and nothing
/// goes to the replacement before it listens.
#[test]
fn a_replacement_inherits_the_slot_and_the_primary_what_is_in_it() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).stage = Stage::Blocked;
    connect(&mut world, 2);
    world.drive();
    assert_eq!(queued(&world), [0, 1]);
    world.crash(workers[1]);
    world.drive();
    let third = world.fork();
    world.drive();
    world.listen(third, &tcp(80));
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_eq!(world.process(third).application.adopted[&ListenerId(1)], SlotId(1));
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        worker 1 accepts b from l1
    >        worker 1 serves b
    >        process 2 ends, code=- signal=SIGKILL
    primary  spread over l1
    primary  accept from l1/1
    primary  * disconnect 2 exited_after_disconnect=false
    primary  * exit 2 code=- signal=SIGKILL exited_after_disconnect=false
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        fork 3
    primary  spawn 3
    primary  * fork 3 pid 103
    worker 3 say: online
    primary  * online 3
    >        worker 3 listens on 127.0.0.1:80
    worker 3 say: listen r1 127.0.0.1:80
    primary  say to 3: grant r1 l1 127.0.0.1:80, with a copy of l1/1
    worker 3 adopt the passage of l1
    worker 3 adopt l1
    worker 3 say: listening l1
    worker 3 * listening r1 l1 127.0.0.1:80
    primary  spread over l1 l1/1
    primary  pause l1/1
    primary  * listening 3 127.0.0.1:80
    >        client c connects
    >        client d connects
    >        worker 1 accepts d from l1
    >        worker 1 serves d
    >        worker 3 accepts c from l1/1
    >        worker 3 serves c
    and nothing else
    ");
}

/// What dies with a connection that the primary accepted in its place is handed on, as ever.
#[test]
fn what_was_rescued_and_handed_to_one_that_dies_goes_on() {
    let (mut world, workers) = sharing(3);
    world.process(workers[2]).stage = Stage::Blocked;
    connect_at(&mut world, 2);
    world.process(workers[0]).application.appetite = 0;
    world.crash(workers[2]);
    world.drive();
    assert_eq!(world.primary.load(workers[0]), (1, 0));
    world.crash(workers[0]);
    world.drive();
    assert_eq!(world.kernel.connections[0].reader, Some(workers[1]));
    assert!(world.kernel.connections[0].served);
}

#[test]
fn a_cordoned_workers_queue_is_rescued() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).application.appetite = 0;
    connect(&mut world, 2);
    world.drive();
    assert_eq!(queued(&world), [0, 1]);
    world.cordon(workers[1]);
    world.drive();
    connect(&mut world, 2);
    world.drive();
    world.process(workers[1]).application.appetite = usize::MAX;
    world.uncordon(workers[1]);
    world.drive();
    connect(&mut world, 2);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        worker 1 accepts b from l1
    >        worker 1 serves b
    >        cordon 2
    primary  say to 2: cordon
    primary  spread over l1
    primary  accept from l1/1
    worker 2 * cordoned
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    >        client c connects
    >        client d connects
    >        worker 1 accepts c from l1
    >        worker 1 serves c
    >        worker 1 accepts d from l1
    >        worker 1 serves d
    >        uncordon 2
    primary  say to 2: uncordon
    primary  spread over l1 l1/1
    primary  pause l1/1
    worker 2 * uncordoned
    >        client e connects
    >        client f connects
    >        worker 1 accepts f from l1
    >        worker 1 serves f
    >        worker 2 accepts e from l1/1
    >        worker 2 serves e
    and nothing else
    ");
}

/// With nobody to serve them, connections wait in the primary.
#[test]
fn all_are_cordoned_off() {
    let (mut world, workers) = sharing(2);
    workers.iter().for_each(|worker| world.cordon(*worker));
    connect(&mut world, 20);
    world.drive();
    assert_eq!(world.primary.connections(), 8, "as many as may wait");
    assert_eq!(queued(&world), [12, 0]);
    world.uncordon(workers[1]);
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.reader == Some(workers[1])));
}

#[test]
fn a_worker_joins_while_it_is_cordoned_off() {
    let (mut world, _) = sharing(1);
    let second = world.fork_listening(&[]);
    world.cordon(second);
    world.listen(second, &tcp(80));
    world.drive();
    assert_eq!(world.kernel.spread[&ListenerId(1)], [SlotId(0)]);
    world.uncordon(second);
    assert_eq!(world.kernel.spread[&ListenerId(1)], [SlotId(0), SlotId(1)]);
}

/// A new one comes, and the old one leaves: whatever was queued for it is served.
#[test]
fn a_roll_loses_nothing() {
    let (mut world, mut workers) = sharing(2);
    let mut clients = 0;
    for _ in 0..4 {
        let old = workers.remove(0);
        world.process(old).application.appetite = 1;
        connect(&mut world, 6);
        let new = world.fork();
        world.drive();
        connect(&mut world, 6);
        world.listen(new, &tcp(80));
        world.drive();
        connect(&mut world, 6);
        world.disconnect(old, None);
        connect(&mut world, 6);
        world.drive();
        workers.push(new);
        clients += 24;
    }
    assert_eq!(world.kernel.connections.iter().filter(|it| it.served).count(), clients);
    assert!(world.tally.rescued > 0, "not all of them by their workers");
    assert_eq!(world.kernel.queued(ListenerId(1)).len(), 3, "no more slots than workers at a time");
}

/// A connection that an application accepted from its socket, and will not have.
#[test]
fn given_back_goes_to_another() {
    let (mut world, workers) = sharing(2);
    world.process(workers[1]).application.returns = 1;
    connect_at(&mut world, 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        worker 2 accepts a from l1/1
    worker 2 say: returned l1, with a
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    and nothing else
    ");
    assert_eq!(world.kernel.connections[0].reader, Some(workers[0]));
}

/// The primary has no part in datagrams, and looks after none: each worker has a socket, and
/// what is queued in it waits for the worker that inherits it.
#[test]
fn datagrams() {
    let mut world = sharded();
    let workers = [(); 2].map(|()| world.fork_listening(&[udp(53)]));
    assert_eq!(world.deadline, None);
    world.partial_transcript();
    world.connect(&udp(53)).expect("somebody listens");
    world.connect(&udp(53)).expect("somebody listens");
    world.drive();
    world.process(workers[1]).stage = Stage::Blocked;
    world.connect(&udp(53)).expect("somebody listens");
    world.connect(&udp(53)).expect("somebody listens");
    world.cordon(workers[1]);
    world.drive();
    world.crash(workers[1]);
    world.drive();
    assert_eq!(queued(&world), [0, 1]);
    let third = world.fork_listening(&[udp(53)]);
    assert!(world.kernel.connections.iter().all(|it| it.served));
    assert_eq!(world.kernel.connections[2].reader, Some(third));
    assert_snapshot!(world.transcript(), @"
    >        client a sends
    >        client b sends
    >        worker 1 accepts b from l1
    >        worker 1 serves b
    >        worker 2 accepts a from l1/1
    >        worker 2 serves a
    >        client c sends
    >        client d sends
    >        cordon 2
    primary  say to 2: cordon
    primary  spread over l1
    >        worker 1 accepts d from l1
    >        worker 1 serves d
    >        process 2 ends, code=- signal=SIGKILL
    primary  * disconnect 2 exited_after_disconnect=false
    primary  * exit 2 code=- signal=SIGKILL exited_after_disconnect=false
    >        fork 3
    primary  spawn 3
    primary  * fork 3 pid 103
    worker 3 say: online
    primary  * online 3
    >        worker 3 listens on udp:127.0.0.1:53
    worker 3 say: listen r1 udp:127.0.0.1:53
    primary  say to 3: grant r1 l1 udp:127.0.0.1:53, with a copy of l1/1
    worker 3 adopt l1
    worker 3 say: listening l1
    worker 3 * listening r1 l1 udp:127.0.0.1:53
    primary  spread over l1 l1/1
    primary  * listening 3 udp:127.0.0.1:53
    >        worker 3 accepts c from l1/1
    >        worker 3 serves c
    and nothing else
    ");
}

/// What the kernel cannot spread goes round: unix sockets, and inherited descriptors whatever
/// they are.
#[test]
fn what_cannot_be_spread_is_handed_over() {
    let mut world = sharded();
    let unix = Address::Unix(cluster_core::UnixName(b"/x".to_vec()));
    world.kernel.inherited.insert(3, tcp(81));
    world.kernel.inherited.insert(4, udp(54));
    let inherited = [3, 4].map(Address::Inherited);
    let both = [(); 2].map(|()| {
        world.fork_listening(&[unix.clone(), inherited[0].clone(), inherited[1].clone()])
    });
    for address in [&unix, &tcp(81)] {
        for _ in 0..2 {
            world.connect(address).expect("somebody listens");
            world.drive();
        }
    }
    let readers: Vec<_> = world.kernel.connections.iter().map(|it| it.reader).collect();
    assert_eq!(readers, [both, both].concat().into_iter().map(Some).collect::<Vec<_>>());
    let copies = |listener| world.kernel.sockets[&(ListenerId(listener), SlotId(0))].copies.clone();
    assert_eq!([copies(1), copies(2)], [[Holder::Primary]; 2]);
    let shared = [Holder::Primary, Holder::Worker(both[0]), Holder::Worker(both[1])];
    assert_eq!(copies(3), shared, "datagrams are shared by all");
    assert!(world.kernel.spread.is_empty());
    let deadline = world.primary.next_deadline().map(|(_, why)| why);
    assert!(!matches!(deadline, Some(Reason::Check(_))), "no queue is looked into");
}
