//! Sockets for workers: while they are being opened, and when they cannot be.

use cluster_core::primary::Input;
use cluster_core::{ListenError, ListenerId, SlotId};
use insta::assert_snapshot;

use crate::sharding::{connect, sharing};
use crate::world::kernel::TOO_MANY_FILES;
use crate::world::process::Stage;
use crate::world::{Turn, tcp};

#[test]
fn a_slot_that_cannot_be_opened() {
    let (mut world, _) = sharing(1);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.kernel.exhausted = true;
    world.listen(second, &tcp(80));
    world.drive();
    assert_eq!(world.process(second).application.failed, [ListenError::Os(TOO_MANY_FILES)]);
    world.kernel.exhausted = false;
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  open l1/1
    primary  say to 2: deny r1: os error 24
    worker 2 * listen failed r1: os error 24
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  open l1/1
    primary  accept from l1/1
    primary  say to 2: grant r2 l1 127.0.0.1:80, with a copy of l1/1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r2 l1 127.0.0.1:80
    primary  spread over l1 l1/1
    primary  pause l1/1
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

/// The only worker goes while the second one's slot is being opened: what is queued waits for
/// it, and is not offered before it has heard of the listener.
#[test]
fn nothing_is_handed_to_one_whose_slot_is_being_opened() {
    let (mut world, workers) = sharing(1);
    let second = world.fork_listening(&[]);
    world.process(workers[0]).stage = Stage::Blocked;
    connect(&mut world, 1);
    world.partial_transcript();
    world.listen(second, &tcp(80));
    let not_opened = |turn: Turn| !matches!(turn, Turn::OpenSlot(_));
    world.drive_while(not_opened);
    world.crash(workers[0]);
    world.drive_while(not_opened);
    assert_eq!(world.primary.connections(), 1);
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  open l1/1
    >        process 1 ends, code=- signal=SIGKILL
    primary  accept from l1
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    primary  accept from l1/1
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1/1
    primary  hand a of l1 to 2 as h1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r1 l1 127.0.0.1:80
    primary  spread over l1/1
    primary  pause l1/1
    primary  * listening 2 127.0.0.1:80
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

/// The last that wants the listener goes while its slot is being opened.
#[test]
fn a_slot_is_opened_when_nobody_wants_it_any_more() {
    let (mut world, workers) = sharing(1);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(second, &tcp(80));
    let not_opened = |turn: Turn| !matches!(turn, Turn::OpenSlot(_));
    world.drive_while(not_opened);
    world.crash(second);
    world.drive_while(not_opened);
    world.crash(workers[0]);
    world.drive_while(not_opened);
    world.drive();
    assert_eq!(world.deadline, None);
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  open l1/1
    >        process 2 ends, code=- signal=SIGKILL
    primary  * disconnect 2 exited_after_disconnect=false
    primary  * exit 2 code=- signal=SIGKILL exited_after_disconnect=false
    >        process 1 ends, code=- signal=SIGKILL
    primary  close l1
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    and nothing else
    ");
}

#[test]
fn a_copy_that_cannot_be_made_leaves_the_slot_to_the_next() {
    let (mut world, _) = sharing(1);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(second, &tcp(80));
    world.drive_while(|turn| !matches!(turn, Turn::OpenSlot(_)));
    // The socket could be opened, and then no descriptor was left for the copy.
    let place = (ListenerId(1), SlotId(1));
    assert_eq!(world.kernel.open_slot(place), Ok(()));
    world.kernel.exhausted = true;
    let (listener, slot) = place;
    world.tell_primary(Input::SlotOpened { listener, slot, result: Ok(()) });
    world.kernel.exhausted = false;
    world.drive();
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  open l1/1
    primary  accept from l1/1
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1/1
    >        no descriptor is left for a copy of l1/1
    primary  say to 2: deny r1: os error 24
    worker 2 * listen failed r1: os error 24
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  say to 2: grant r2 l1 127.0.0.1:80, with a copy of l1/1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r2 l1 127.0.0.1:80
    primary  spread over l1 l1/1
    primary  pause l1/1
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}
