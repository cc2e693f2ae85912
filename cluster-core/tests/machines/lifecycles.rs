//! Lifecycles of one worker, from its fork to its end, as both sides tell them.

use std::time::Duration;

use cluster_core::{ExitStatus, OsError, Signal};
use insta::assert_snapshot;

use crate::world::{World, tcp};

#[test]
fn fork_online_listen_serve_disconnect_exit() {
    let mut world = World::traced();
    let worker = world.fork();
    world.drive();
    world.listen(worker, &tcp(80));
    world.drive();
    world.connect(&tcp(80));
    world.drive();
    world.disconnect(worker, None);
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
    primary  say to 1: grant r1 l1 127.0.0.1:80
    primary  accept from l1
    worker 1 adopt the passage of l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    >        client a connects
    primary  hand a of l1 to 1 as h1
    >        worker 1 takes a from l1
    primary  close a: taken
    >        worker 1 serves a
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

#[test]
fn disconnect_in_worker() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.leave(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
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
fn kill_in_worker() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.kill_itself(worker, Signal::TERM);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 kills itself by SIGTERM
    worker 1 say: leaving
    worker 1 * draining
    primary  * draining 1
    primary  say to 1: leave noted
    primary  close l1
    worker 1 close the channel
    worker 1 * closed l1
    worker 1 * disconnect
    worker 1 raise SIGTERM
    >        process 1 ends, code=- signal=SIGTERM
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=- signal=SIGTERM exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn kill_from_primary() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.kill(worker, Signal::TERM);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        kill 1 SIGTERM
    primary  signal 1 SIGTERM
    >        process 1 ends, code=- signal=SIGTERM
    primary  close l1
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGTERM exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn kill_after_disconnect() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.process(worker).application.busy = true;
    world.partial_transcript();
    world.disconnect(worker, None);
    world.drive();
    world.kill(worker, Signal::TERM);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 watch for idleness
    >        kill 1 SIGTERM
    primary  signal 1 SIGTERM
    >        process 1 ends, code=- signal=SIGTERM
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=- signal=SIGTERM exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn crash() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.end(worker, ExitStatus::Code(101));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        process 1 ends, code=101 signal=-
    primary  close l1
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=101 signal=- exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn spawn_failure_leaves_no_ghost() {
    let mut world = World::traced();
    world.spawn_error = Some(OsError(11));
    let worker = world.fork();
    world.disconnect(worker, Some(Duration::from_secs(1)));
    world.drive();
    assert_eq!(world.primary.workers().count(), 0);
    assert_snapshot!(world.transcript(), @"
    >        fork 1
    primary  spawn 1
    >        disconnect 1, kill after 1s
    primary  say to 1: disconnect
    primary  * spawn failed 1 os error 11
    and nothing else
    ");
}

#[test]
fn disconnect_before_online() {
    let mut world = World::traced();
    let worker = world.fork();
    world.disconnect(worker, None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        fork 1
    primary  spawn 1
    >        disconnect 1
    primary  say to 1: disconnect
    primary  * fork 1 pid 101
    primary  * draining 1
    worker 1 say: online
    worker 1 * draining
    worker 1 watch for idleness
    primary  * online 1
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

/// There is nothing to signal until there is a process.
#[test]
fn kill_before_the_process_runs() {
    let mut world = World::traced();
    let worker = world.fork();
    world.kill(worker, Signal::TERM);
    world.kill(worker, Signal::TERM);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        fork 1
    primary  spawn 1
    >        kill 1 SIGTERM
    >        kill 1 SIGTERM
    primary  * fork 1 pid 101
    primary  signal 1 SIGTERM
    >        process 1 ends, code=- signal=SIGTERM
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGTERM exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn disconnect_twice_is_noop() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.disconnect(worker, None);
    world.disconnect(worker, None);
    world.leave(worker);
    world.leave(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    >        disconnect 1
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    >        worker 1 disconnects
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
fn disconnect_all_waits_for_all() {
    let mut world = World::traced();
    let first = world.fork_listening(&[]);
    let second = world.fork_listening(&[]);
    world.process(second).application.busy = true;
    world.partial_transcript();
    world.disconnect_all(None);
    let third = world.fork();
    world.drive();
    world.end(second, ExitStatus::Code(1));
    world.drive();
    assert_eq!(world.primary.workers().collect::<Vec<_>>(), [third]);
    assert_eq!(world.primary.state(first), None);
    assert_snapshot!(world.transcript(), @"
    >        disconnect all
    primary  * draining 1
    primary  say to 1: disconnect
    primary  * draining 2
    primary  say to 2: disconnect
    >        fork 3
    primary  spawn 3
    primary  * fork 3 pid 103
    worker 3 say: online
    worker 1 * draining
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    worker 2 * draining
    worker 2 watch for idleness
    primary  * online 3
    >        process 2 ends, code=1 signal=-
    primary  * disconnect 2 exited_after_disconnect=true
    primary  * exit 2 code=1 signal=- exited_after_disconnect=true
    primary  * farewell 1
    and nothing else
    ");
}

#[test]
fn disconnect_all_of_none() {
    let mut world = World::traced();
    world.disconnect_all(None);
    assert_snapshot!(world.transcript(), @"
    >        disconnect all
    primary  * farewell 1
    and nothing else
    ");
}
