//! What listeners are known by, and what comes with them: data, descriptors that the primary has
//! inherited, datagrams.

use cluster_core::{Address, ListenError, ListenSpec, ListenerId, WorkerId};
use insta::assert_snapshot;

use crate::lending::{holders, kernel_shares};
use crate::world::kernel::{Holder, NO_SUCH_FILE};
use crate::world::{Turn, World, tcp, udp};

fn with_data(address: &Address, data: &str) -> ListenSpec {
    let mut spec = ListenSpec::new(address.clone());
    spec.data = data.into();
    spec
}

/// The first data that is not empty is everybody's from then on.
#[test]
fn data_of_the_first_that_has_some() {
    let mut world = World::traced();
    let workers = [(); 4].map(|()| world.fork_listening(&[]));
    world.partial_transcript();
    for (worker, data) in workers.into_iter().zip(["", "keys", "others", ""]) {
        world.listen_as(worker, with_data(&tcp(80), data));
        world.drive();
    }
    let known = workers.map(|worker| world.process(worker).application.data.concat());
    assert_eq!(known, [&b""[..], b"keys", b"keys", b"keys"]);
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    >        worker 2 listens on 127.0.0.1:80, data keys
    worker 2 say: listen r1 127.0.0.1:80, data keys
    primary  say to 2: grant r1 l1 127.0.0.1:80, data keys
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80, data keys
    primary  * listening 2 127.0.0.1:80
    >        worker 3 listens on 127.0.0.1:80, data others
    worker 3 say: listen r1 127.0.0.1:80, data others
    primary  say to 3: grant r1 l1 127.0.0.1:80, data keys
    worker 3 adopt the passage of l1
    worker 3 say: listening l1
    worker 3 * listening r1 l1 127.0.0.1:80, data keys
    primary  * listening 3 127.0.0.1:80
    >        worker 4 listens on 127.0.0.1:80
    worker 4 say: listen r1 127.0.0.1:80
    primary  say to 4: grant r1 l1 127.0.0.1:80, data keys
    worker 4 adopt the passage of l1
    worker 4 say: listening l1
    worker 4 * listening r1 l1 127.0.0.1:80, data keys
    primary  * listening 4 127.0.0.1:80
    and nothing else
    ");
}

/// All that wait for one listener get the same, whoever of them has brought it. When the last
/// has gone, it is forgotten.
#[test]
fn data_of_those_that_wait_together() {
    let mut world = kernel_shares();
    let workers = [(); 3].map(|()| world.fork_listening(&[]));
    for (worker, data) in workers.into_iter().zip(["", "keys", "others"]) {
        world.listen_as(worker, with_data(&tcp(80), data));
    }
    world.drive_while(|turn| !matches!(turn, Turn::Bind(_)));
    world.drive();
    for worker in workers {
        assert_eq!(world.process(worker).application.data, [b"keys"]);
        world.close_listener(worker, ListenerId(1));
    }
    world.drive();
    world.listen(workers[0], &tcp(80));
    world.drive();
    assert_eq!(world.process(workers[0]).application.data, [&b"keys"[..], b""]);
}

/// The primary would be told which descriptor, and does not make one.
#[test]
fn two_share_an_inherited_socket() {
    let mut world = kernel_shares();
    world.kernel.inherited.insert(3, tcp(80));
    let inherited = [Address::Inherited(3)];
    let first = world.fork_listening(&inherited);
    world.partial_transcript();
    let second = world.fork_listening(&inherited);
    // Its address means the same.
    world.listen(second, &tcp(80));
    world.listen(first, &Address::Inherited(4));
    world.drive();
    let copies = [Holder::Primary, Holder::Worker(first), Holder::Worker(second)];
    assert_eq!(holders(&world), copies);
    assert_eq!(world.process(first).application.failed, [ListenError::Os(NO_SUCH_FILE)]);
    assert_snapshot!(world.transcript(), @"
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on fd:3
    worker 2 say: listen r1 fd:3
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    >        worker 1 listens on fd:4
    worker 1 say: listen r2 fd:4
    primary  bind l2 to fd:4, backlog 511
    primary  say to 1: deny r2: os error 9
    worker 1 * listen failed r2: os error 9
    primary  say to 2: deny r2: this worker listens on that address already
    worker 2 * listen failed r2: this worker listens on that address already
    and nothing else
    ");
}

/// Under round-robin the primary accepts from an inherited socket, too.
#[test]
fn an_inherited_socket_in_turns() {
    let mut world = World::traced();
    world.kernel.inherited.insert(3, tcp(80));
    world.fork_listening(&[Address::Inherited(3)]);
    world.partial_transcript();
    world.connect(&tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
    and nothing else
    ");
}

/// There is no connection that could be handed over, whatever the schedule.
#[test]
fn datagrams_are_shared_under_round_robin() {
    let mut world = World::traced();
    let first = world.fork_listening(&[udp(53), tcp(53)]);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(second, &udp(53));
    world.drive();
    world.connect(&udp(53));
    world.drive();
    // To share the datagrams' port is not to share the other.
    assert_eq!(world.process(first).application.listeners, [ListenerId(1), ListenerId(2)]);
    assert_eq!(world.process(second).application.listeners, [ListenerId(1)]);
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on udp:127.0.0.1:53
    worker 2 say: listen r1 udp:127.0.0.1:53
    primary  say to 2: grant r1 l1 udp:127.0.0.1:53, with a copy of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 udp:127.0.0.1:53
    primary  * listening 2 udp:127.0.0.1:53
    >        client a sends
    >        worker 1 accepts a from l1
    >        worker 1 serves a
    and nothing else
    ");
}

/// An inherited socket is what it is: the host tells when it binds.
#[test]
fn an_inherited_socket_for_datagrams() {
    let mut world = World::traced();
    world.kernel.inherited.insert(3, udp(53));
    let worker = world.fork_listening(&[Address::Inherited(3)]);
    assert_eq!(holders(&world), [Holder::Primary, Holder::Worker(worker)]);
}

/// The n-th port 0 of one worker is the n-th of another, for datagrams by a count of their own
/// (Node: `child_index_dgram`).
#[test]
fn port_zero_pairs_for_datagrams() {
    let mut world = World::traced();
    let first = world.fork_listening(&[udp(0), tcp(0), udp(0)]);
    let second = world.fork_listening(&[udp(0), udp(0), udp(0), tcp(0)]);
    let of = |worker: WorkerId| {
        let agent = &world.processes[&worker].agent;
        let listeners = world.processes[&worker].application.listeners.iter();
        listeners.map(|it| agent.address(*it).expect("granted").to_string()).collect::<Vec<_>>()
    };
    let udp = ["udp:127.0.0.1:40001", "udp:127.0.0.1:40003", "udp:127.0.0.1:40004"];
    let tcp = "127.0.0.1:40002";
    assert_eq!(of(first), [udp[0], tcp, udp[1]]);
    assert_eq!(of(second), [udp[0], udp[1], udp[2], tcp]);
}
