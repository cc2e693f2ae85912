//! Listeners: who shares them, and when they open and close.

use cluster_core::{ListenError, ListenSpec, WorkerState};
use insta::assert_snapshot;

use crate::world::{Turn, World, kernel, tcp};

/// Binding takes its time.
fn not_yet_bound(turn: Turn) -> bool {
    !matches!(turn, Turn::Bind(_))
}

#[test]
fn two_share_one_listener() {
    let mut world = World::traced();
    let first = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    let second = world.fork_listening(&[tcp(80)]);
    world.disconnect(first, None);
    world.drive();
    world.disconnect(second, None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    >        disconnect 2
    primary  * draining 2
    primary  say to 2: disconnect
    primary  close l1
    worker 2 * draining
    worker 2 say: close l1
    worker 2 * closed l1
    worker 2 watch for idleness
    worker 2 close the channel
    worker 2 * disconnect
    >        process 2 ends, code=0 signal=-
    primary  * disconnect 2 exited_after_disconnect=true
    primary  * exit 2 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn two_waiters_on_failing_bind() {
    let mut world = World::traced();
    let first = world.fork_listening(&[]);
    let second = world.fork_listening(&[]);
    world.kernel.busy.push(tcp(80));
    world.partial_transcript();
    world.listen(first, &tcp(80));
    world.listen(second, &tcp(80));
    world.drive_while(not_yet_bound);
    world.drive();
    // The place is free again, for anyone.
    world.kernel.busy.clear();
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: deny r1: os error 98
    primary  say to 2: deny r1: os error 98
    worker 1 * listen failed r1: os error 98
    worker 2 * listen failed r1: os error 98
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  bind l2 to 127.0.0.1:80, backlog 511
    primary  say to 2: grant r2 l2 127.0.0.1:80
    primary  accept from l2
    worker 2 adopt the passage of l2
    worker 2 say: listening l2
    worker 2 * listening r2 l2 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

#[test]
fn waiter_leaves_during_bind() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.drive_while(not_yet_bound);
    world.disconnect(worker, None);
    world.drive_while(not_yet_bound);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    primary  close l1
    and nothing else
    ");
}

#[test]
fn waiter_dies_during_bind_and_another_comes() {
    let mut world = World::traced();
    let first = world.fork_listening(&[]);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(first, &tcp(80));
    world.drive_while(not_yet_bound);
    world.crash(first);
    world.drive_while(not_yet_bound);
    world.listen(second, &tcp(80));
    world.drive_while(not_yet_bound);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    >        process 1 ends, code=- signal=SIGKILL
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

#[test]
fn waiter_leaves_during_bind_that_fails() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.kernel.busy.push(tcp(80));
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.drive_while(not_yet_bound);
    world.leave(worker);
    world.drive_while(not_yet_bound);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    primary  * draining 1
    primary  say to 1: leave noted
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn listen_during_shutdown() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.process(worker).application.busy = true;
    world.partial_transcript();
    // This request and the primary's wish meet on the way.
    world.listen(worker, &tcp(80));
    world.disconnect(worker, None);
    world.drive();
    assert_eq!(world.primary.state(worker), Some(WorkerState::Draining));
    world.listen(worker, &tcp(81));
    world.drive();
    assert_eq!(
        world.process(worker).application.failed,
        [ListenError::Leaving, ListenError::Leaving]
    );
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    primary  say to 1: deny r1: the worker is leaving
    >        worker 1 listens on 127.0.0.1:81
    worker 1 * listen failed r2: the worker is leaving
    and nothing else
    ");
}

/// The grant is on its way when the worker begins to leave.
#[test]
fn grant_comes_too_late() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.drive_while(|turn| !matches!(turn, Turn::ReadDown(_)));
    world.leave(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    worker 1 close a passage
    worker 1 say: close l1
    primary  * draining 1
    primary  say to 1: leave noted
    primary  close l1
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn listen_twice_on_one_address() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r2 127.0.0.1:80
    primary  say to 1: deny r2: this worker listens on that address already
    worker 1 * listen failed r2: this worker listens on that address already
    and nothing else
    ");
}

#[test]
fn close_and_listen_again() {
    let mut world = World::traced();
    let first = world.fork_listening(&[tcp(80)]);
    world.fork_listening(&[tcp(80)]);
    let listener = world.process(first).application.listeners[0];
    world.partial_transcript();
    world.close_listener(first, listener);
    world.listen(first, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 closes l1
    worker 1 say: close l1
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r2 127.0.0.1:80
    primary  say to 1: grant r2 l1 127.0.0.1:80
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r2 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    and nothing else
    ");
}

/// The last of several sharers closes: so does the listener, and a new one has a new name.
#[test]
fn close_the_last_and_listen_again() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    let listener = world.process(worker).application.listeners[0];
    world.partial_transcript();
    world.close_listener(worker, listener);
    world.listen(worker, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 closes l1
    worker 1 say: close l1
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r2 127.0.0.1:80
    primary  close l1
    primary  bind l2 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r2 l2 127.0.0.1:80
    primary  accept from l2
    worker 1 adopt the passage of l2
    worker 1 say: listening l2
    worker 1 * listening r2 l2 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    and nothing else
    ");
}

#[test]
fn listen_port_zero_pairs() {
    let mut world = World::traced();
    let first = world.fork_listening(&[tcp(0), tcp(0)]);
    let second = world.fork_listening(&[tcp(0), tcp(0), tcp(0)]);
    let ports = |worker| world.processes[&worker].application.listeners.clone();
    assert_eq!(ports(first), ports(second)[..2]);
    // What the first closes, it pairs with again.
    let again = ports(first)[0];
    world.partial_transcript();
    world.close_listener(first, again);
    world.listen(first, &tcp(0));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 closes l1
    worker 1 say: close l1
    >        worker 1 listens on 127.0.0.1:0
    worker 1 say: listen r3 127.0.0.1:0
    primary  say to 1: grant r3 l1 127.0.0.1:40001
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r3 l1 127.0.0.1:40001
    primary  * listening 1 127.0.0.1:40001
    and nothing else
    ");
}

#[test]
fn explicit_port_after_port_zero() {
    let mut world = World::traced();
    let first = world.fork_listening(&[tcp(0)]);
    world.partial_transcript();
    let second = world.fork_listening(&[tcp(40_001)]);
    assert_eq!(
        world.process(first).application.listeners.clone(),
        world.process(second).application.listeners
    );
    world.listen(first, &tcp(40_001));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on 127.0.0.1:40001
    worker 2 say: listen r1 127.0.0.1:40001
    primary  say to 2: grant r1 l1 127.0.0.1:40001
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:40001
    primary  * listening 2 127.0.0.1:40001
    >        worker 1 listens on 127.0.0.1:40001
    worker 1 say: listen r2 127.0.0.1:40001
    primary  say to 1: deny r2: this worker listens on that address already
    worker 1 * listen failed r2: this worker listens on that address already
    and nothing else
    ");
}

#[test]
fn the_first_backlog_is_in_force() {
    let mut world = World::traced();
    let first = world.fork_listening(&[]);
    world.partial_transcript();
    let mut spec = ListenSpec::new(tcp(80));
    spec.backlog = 2;
    let process = world.process(first);
    let request = process.agent.listen(spec);
    process.application.requests.insert(request);
    world.drain_agent(first);
    world.drive();
    let second = world.fork_listening(&[tcp(80)]);
    assert_eq!(world.process(second).application.failed, []);
    assert_eq!(world.kernel.sockets.values().map(|it| it.spec.backlog).collect::<Vec<_>>(), [2]);
    assert_snapshot!(world.transcript(), @"
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 2
    primary  say to 1: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80
    worker 2 adopt the passage of l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

/// An error of the operating system travels to the worker as it is.
#[test]
fn the_error_travels() {
    let mut world = World::traced();
    world.kernel.busy.push(tcp(80));
    let worker = world.fork_listening(&[tcp(80)]);
    let failed = &world.process(worker).application.failed;
    assert_eq!(*failed, [ListenError::Os(kernel::ADDRESS_IN_USE)]);
}
