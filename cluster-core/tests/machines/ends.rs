//! Ends that come unasked, out of order, or not at all.

use std::time::Duration;

use cluster_core::{ExitStatus, Signal, WorkerState};
use insta::assert_snapshot;

use crate::world::{Turn, World, tcp};

#[test]
fn channel_closed_by_the_worker() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.close_own_channel(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 closes its channel
    worker 1 close the channel
    worker 1 * closed l1
    worker 1 * disconnect
    worker 1 exit with 0
    >        process 1 ends, code=0 signal=-
    primary  close l1
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=0 signal=- exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn channel_closed_by_the_primary() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.close_channel(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        close the channel to 1
    primary  close l1
    primary  end the channel to 1
    worker 1 * closed l1
    worker 1 * disconnect
    worker 1 exit with 0
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=0 signal=- exited_after_disconnect=false
    and nothing else
    ");
}

/// The worker asks and leaves while the primary has ended the channel already: there is nobody
/// to answer.
#[test]
fn nothing_is_said_after_the_channel_is_ended() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.leave(worker);
    world.close_channel(worker);
    world.close_channel(worker);
    world.disconnect(worker, None);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    >        close the channel to 1
    primary  end the channel to 1
    >        close the channel to 1
    >        disconnect 1
    primary  * draining 1
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn channel_breaks() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.process(worker).application.appetite = 0;
    world.connect(&tcp(80));
    world.drive();
    world.partial_transcript();
    world.break_channel(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        the channel to worker 1 breaks
    primary  close l1
    primary  close a: noworker
    primary  * disconnect 1 exited_after_disconnect=false
    worker 1 * closed l1
    worker 1 * disconnect
    worker 1 exit with 0
    >        process 1 ends, code=0 signal=-
    primary  * exit 1 code=0 signal=- exited_after_disconnect=false
    and nothing else
    ");
}

/// A grandchild holds the channel open.
#[test]
fn exit_before_end_of_channel() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.process(worker).link.held = true;
    world.end(worker, ExitStatus::Code(7));
    world.drive();
    assert!(world.primary.is_dead(worker) && world.primary.is_connected(worker));
    // It is too late to leave, and there is nobody to ask.
    world.disconnect(worker, Some(Duration::from_secs(1)));
    world.disconnect_all(None);
    world.release(worker);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        process 1 ends, code=7 signal=-
    primary  close l1
    primary  * exit 1 code=7 signal=- exited_after_disconnect=false
    >        disconnect 1, kill after 1s
    >        disconnect all
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * farewell 1
    and nothing else
    ");
}

/// The worker goes on with work of its own after it has disconnected.
#[test]
fn end_of_channel_before_exit() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.disconnect(worker, None);
    world.drive_while(|turn| !matches!(turn, Turn::Return(_)));
    assert_eq!(world.primary.state(worker), Some(WorkerState::Disconnected));
    world.disconnect(worker, None);
    world.end(worker, ExitStatus::Code(3));
    world.drive();
    assert_eq!(world.primary.state(worker), None);
    assert_snapshot!(world.transcript(), @"
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    worker 1 * draining
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    primary  * disconnect 1 exited_after_disconnect=true
    >        disconnect 1
    >        process 1 ends, code=3 signal=-
    primary  * exit 1 code=3 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn kill_after_runs_out() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.process(worker).application.busy = true;
    world.partial_transcript();
    world.disconnect(worker, Some(Duration::from_secs(5)));
    world.disconnect(worker, Some(Duration::from_secs(2)));
    world.disconnect(worker, Some(Duration::from_secs(9)));
    world.drive();
    world.pass(Duration::from_millis(1999));
    world.drive();
    world.pass(Duration::from_millis(1));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        disconnect 1, kill after 5s
    primary  * draining 1
    primary  say to 1: disconnect
    >        disconnect 1, kill after 2s
    >        disconnect 1, kill after 9s
    worker 1 * draining
    worker 1 watch for idleness
    >        1.999s pass
    >        1ms pass
    primary  signal 1 SIGKILL
    >        process 1 ends, code=- signal=SIGKILL
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=true
    and nothing else
    ");
}

#[test]
fn kill_after_is_forgotten_when_the_worker_has_ended() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[]);
    world.disconnect(worker, Some(Duration::from_secs(5)));
    assert_eq!(world.deadline, Some(world.now + Duration::from_secs(5)));
    world.drive();
    assert_eq!(world.deadline, None);
}

#[test]
fn primary_death() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.listen(worker, &tcp(81));
    world.partial_transcript();
    world.kill_primary();
    world.drive_while(|turn| !matches!(turn, Turn::Reap(_)));
    assert_snapshot!(world.partial_transcript() + "and nothing else", @"
    >        the primary dies
    worker 1 * closed l1
    worker 1 * listen failed r2: the channel to the primary is closed
    worker 1 * disconnect
    worker 1 exit with 0
    >        process 1 ends, code=0 signal=-
    and nothing else
    ");
}

/// A worker that leaves already ends when it likes.
#[test]
fn primary_death_while_leaving() {
    let mut world = World::traced();
    let worker = world.fork_listening(&[tcp(80)]);
    world.partial_transcript();
    world.process(worker).application.busy = true;
    world.leave(worker);
    world.kill_primary();
    world.drive();
    world.kill_itself(worker, Signal::INT);
    world.kill_itself(worker, Signal::INT);
    world.drive_while(|turn| !matches!(turn, Turn::Reap(_)));
    assert_snapshot!(world.partial_transcript() + "and nothing else", @"
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    >        the primary dies
    worker 1 * disconnect
    >        worker 1 kills itself by SIGINT
    worker 1 raise SIGINT
    >        process 1 ends, code=- signal=SIGINT
    >        worker 1 kills itself by SIGINT
    and nothing else
    ");
}
