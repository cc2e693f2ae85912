//! Listeners that the kernel shares: each worker has a copy of the socket, and accepts itself.

use cluster_core::{
    Address, Agent, Config, Grant, HandleName, HandleToken, ListenError, ListenSpec, ListenerId,
    Output, Schedule, Sharing, SlotId, ToPrimary, ToWorker, WorkerId, agent, primary,
};
use insta::assert_snapshot;

use crate::world::kernel::{Holder, TOO_MANY_FILES};
use crate::world::process::Stage;
use crate::world::{Turn, World, tcp, udp};

/// A traced world in which the kernel shares all listeners.
pub(crate) fn kernel_shares() -> World {
    let config = Config::new(Schedule::None, 1, 1).expect("sensible");
    World::traced_with(config)
}

/// Some workers that share port 80 in such a world, and nothing said yet.
fn sharing(workers: usize) -> (World, Vec<WorkerId>) {
    let mut world = kernel_shares();
    let workers = (0..workers).map(|_| world.fork_listening(&[tcp(80)])).collect();
    world.partial_transcript();
    (world, workers)
}

/// Who has a copy of the first listener's socket.
pub(crate) fn holders(world: &World) -> Vec<Holder> {
    let socket = world.kernel.sockets.get(&(ListenerId(1), SlotId(0)));
    socket.map_or_else(Vec::new, |it| it.copies.clone())
}

#[test]
fn fork_listen_serve_disconnect() {
    let mut world = kernel_shares();
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
    primary  say to 1: grant r1 l1 127.0.0.1:80, with a copy of l1
    worker 1 adopt the passage of l1
    worker 1 adopt l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
    primary  * listening 1 127.0.0.1:80
    >        client a connects
    >        worker 1 accepts a from l1
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

/// Whoever comes first gets it: the primary has no part in it.
#[test]
fn a_busy_worker_leaves_the_queue_to_others() {
    let (mut world, workers) = sharing(3);
    for (worker, appetite) in workers.iter().zip([1, 0, 2]) {
        world.process(*worker).application.appetite = appetite;
    }
    for _ in 0..4 {
        world.connect(&tcp(80));
    }
    world.drive();
    let readers: Vec<_> = world.kernel.connections.iter().map(|it| it.reader).collect();
    assert_eq!(readers, [Some(workers[0]), Some(workers[2]), Some(workers[2]), None]);
    assert_eq!(world.kernel.sockets[&(ListenerId(1), SlotId(0))].backlog.len(), 1);
}

#[test]
fn the_last_sharer_closes_the_primarys() {
    let (mut world, workers) = sharing(2);
    let all = [Holder::Primary, Holder::Worker(workers[0]), Holder::Worker(workers[1])];
    assert_eq!(holders(&world), all);
    world.close_listener(workers[0], ListenerId(1));
    world.drive();
    assert_eq!(holders(&world), [Holder::Primary, Holder::Worker(workers[1])]);
    world.connect(&tcp(80));
    world.drive();
    world.leave(workers[1]);
    assert_eq!(holders(&world), [Holder::Primary], "a worker that leaves closes its copy");
    world.drive();
    assert_eq!(holders(&world), []);
    assert_eq!(world.connect(&tcp(80)), None);
    assert_snapshot!(world.transcript(), @"
    >        worker 1 closes l1
    worker 1 say: close l1
    >        client a connects
    >        worker 2 accepts a from l1
    >        worker 2 serves a
    >        worker 2 disconnects
    worker 2 say: leaving
    worker 2 * draining
    worker 2 say: close l1
    worker 2 * closed l1
    worker 2 watch for idleness
    primary  * draining 2
    primary  say to 2: leave noted
    primary  close l1
    worker 2 close the channel
    worker 2 * disconnect
    >        process 2 ends, code=0 signal=-
    primary  * disconnect 2 exited_after_disconnect=true
    primary  * exit 2 code=0 signal=- exited_after_disconnect=true
    and nothing else
    ");
}

/// Connections in the queue of the one that goes stay for the other.
#[test]
fn a_crash_loses_only_what_was_accepted() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.appetite = 1;
    world.process(workers[0]).application.busy = true;
    world.process(workers[1]).stage = Stage::Blocked;
    world.connect(&tcp(80));
    world.connect(&tcp(80));
    world.drive();
    world.crash(workers[0]);
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        client b connects
    >        worker 1 accepts a from l1
    >        process 1 ends, code=- signal=SIGKILL
    primary  * disconnect 1 exited_after_disconnect=false
    primary  * exit 1 code=- signal=SIGKILL exited_after_disconnect=false
    >        worker 2 accepts b from l1
    >        worker 2 serves b
    and nothing else
    ");
}

/// A copy in a worker that is blocked keeps the address, also when nobody shares it any more.
#[test]
fn an_address_is_free_when_the_last_copy_is_closed() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).stage = Stage::Blocked;
    world.disconnect(workers[0], None);
    world.drive();
    let second = world.fork_listening(&[tcp(80)]);
    world.process(workers[0]).stage = Stage::Running;
    world.drive();
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    >        fork 2
    primary  spawn 2
    primary  * fork 2 pid 102
    worker 2 say: online
    primary  * online 2
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  bind l2 to 127.0.0.1:80, backlog 511
    primary  say to 2: deny r1: os error 98
    worker 2 * listen failed r1: os error 98
    worker 1 * draining
    worker 1 say: close l1
    worker 1 * closed l1
    worker 1 watch for idleness
    worker 1 close the channel
    worker 1 * disconnect
    >        process 1 ends, code=0 signal=-
    primary  * disconnect 1 exited_after_disconnect=true
    primary  * exit 1 code=0 signal=- exited_after_disconnect=true
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  bind l3 to 127.0.0.1:80, backlog 511
    primary  say to 2: grant r2 l3 127.0.0.1:80, with a copy of l3
    worker 2 adopt the passage of l3
    worker 2 adopt l3
    worker 2 say: listening l3
    worker 2 * listening r2 l3 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

/// The copy that is on its way when the worker begins to leave is closed when it arrives.
#[test]
fn a_grant_that_comes_too_late() {
    let mut world = kernel_shares();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    world.drive_while(|turn| !matches!(turn, Turn::ReadDown(_)));
    assert_eq!(holders(&world), [Holder::Primary, Holder::Down(worker)]);
    world.leave(worker);
    world.drive();
    assert_eq!(holders(&world), []);
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r1 l1 127.0.0.1:80, with a copy of l1
    >        worker 1 disconnects
    worker 1 say: leaving
    worker 1 * draining
    worker 1 * listen failed r1: the worker is leaving
    worker 1 watch for idleness
    worker 1 close a passage
    worker 1 close the socket of l1
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

/// The primary closes its own before the host has written the message.
#[test]
fn a_grant_that_is_written_after_the_listener_is_closed() {
    let mut world = kernel_shares();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(worker, &tcp(80));
    let not_written = |turn: Turn| !matches!(turn, Turn::WriteDown(_));
    world.drive_while(not_written);
    assert_eq!(holders(&world), [Holder::Primary, Holder::Queue(worker)]);
    world.disconnect(worker, None);
    assert_eq!(holders(&world), [Holder::Queue(worker)]);
    world.drive();
    assert_eq!(holders(&world), []);
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r1 l1 127.0.0.1:80, with a copy of l1
    >        disconnect 1
    primary  * draining 1
    primary  say to 1: disconnect
    primary  close l1
    worker 1 adopt the passage of l1
    worker 1 adopt l1
    worker 1 say: listening l1
    worker 1 * listening r1 l1 127.0.0.1:80
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

/// Nobody is left to read the grant.
#[test]
fn a_grant_for_one_that_dies() {
    let mut world = kernel_shares();
    let worker = world.fork_listening(&[]);
    world.listen(worker, &tcp(80));
    world.drive_while(|turn| !matches!(turn, Turn::ReadDown(_)));
    world.crash(worker);
    assert_eq!(holders(&world), [Holder::Primary]);
    world.drive();
    assert_eq!(holders(&world), []);
}

/// The primary has no descriptor left for a copy: the worker hears why, and may ask again.
#[test]
fn a_copy_that_cannot_be_made() {
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
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1
    >        no descriptor is left for a copy of l1
    primary  say to 2: deny r1: os error 24
    worker 2 * listen failed r1: os error 24
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  say to 2: grant r2 l1 127.0.0.1:80, with a copy of l1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r2 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

#[test]
fn the_only_copy_cannot_be_made() {
    let mut world = kernel_shares();
    let worker = world.fork_listening(&[]);
    world.partial_transcript();
    world.kernel.exhausted = true;
    world.listen(worker, &tcp(80));
    world.drive();
    assert_eq!(holders(&world), []);
    assert_snapshot!(world.transcript(), @"
    >        worker 1 listens on 127.0.0.1:80
    worker 1 say: listen r1 127.0.0.1:80
    primary  bind l1 to 127.0.0.1:80, backlog 511
    primary  say to 1: grant r1 l1 127.0.0.1:80, with a copy of l1
    >        no descriptor is left for a copy of l1
    primary  say to 1: deny r1: os error 24
    primary  close l1
    worker 1 * listen failed r1: os error 24
    and nothing else
    ");
}

/// The worker has no room for the descriptor. A listener that can never accept is none.
#[test]
fn a_copy_that_is_lost_on_its_way() {
    let (mut world, _) = sharing(1);
    let second = world.fork_listening(&[]);
    world.partial_transcript();
    world.listen(second, &tcp(80));
    world.drive_while(|turn| turn != Turn::ReadDown(second));
    // The passage arrives, the copy does not.
    world.step(Turn::ReadDown(second));
    world.process(second).application.blind = 1;
    world.drive();
    world.listen(second, &tcp(80));
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r1 127.0.0.1:80
    primary  say to 2: grant r1 l1 127.0.0.1:80, with a copy of l1
    worker 2 close a passage
    worker 2 say: close l1
    worker 2 * listen failed r1: the listener's descriptor was lost on its way
    >        worker 2 listens on 127.0.0.1:80
    worker 2 say: listen r2 127.0.0.1:80
    primary  say to 2: grant r2 l1 127.0.0.1:80, with a copy of l1
    worker 2 adopt the passage of l1
    worker 2 adopt l1
    worker 2 say: listening l1
    worker 2 * listening r2 l1 127.0.0.1:80
    primary  * listening 2 127.0.0.1:80
    and nothing else
    ");
}

/// A worker accepts, and its application never sees it: the primary hands it to another.
#[test]
fn given_back_goes_to_another() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.returns = 1;
    world.connect(&tcp(80)).expect("somebody listens");
    world.drive();
    assert_snapshot!(world.transcript(), @"
    >        client a connects
    >        worker 1 accepts a from l1
    worker 1 say: returned l1, with a
    primary  hand a of l1 to 2 as h1
    >        worker 2 takes a from l1
    primary  close a: taken
    >        worker 2 serves a
    and nothing else
    ");
}

/// Nobody else shares it: who gave it back gets it again.
#[test]
fn given_back_by_the_only_one() {
    let (mut world, workers) = sharing(1);
    world.process(workers[0]).application.returns = 1;
    world.connect(&tcp(80)).expect("somebody listens");
    world.drive();
    assert_eq!(world.kernel.connections[0].reader, Some(workers[0]));
}

/// It has closed its listener since: the primary sees that it has no use for it.
#[test]
fn given_back_by_one_that_closes_its_listener() {
    let (mut world, workers) = sharing(2);
    world.process(workers[0]).application.returns = 1;
    world.process(workers[1]).stage = Stage::Blocked;
    world.connect(&tcp(80)).expect("somebody listens");
    world.drive_while(|turn| !matches!(turn, Turn::ReadUp(_)));
    world.close_listener(workers[0], ListenerId(1));
    world.drive();
    assert_eq!(world.witness.untaken(workers[1]), 1);
    world.process(workers[1]).stage = Stage::Running;
    world.drive();
    assert_eq!(world.kernel.connections[0].reader, Some(workers[1]));
}

/// Datagrams have no connections: what a worker returns to such a listener is closed.
#[test]
fn nothing_is_returned_to_a_listener_for_datagrams() {
    for schedule in [Schedule::None, Schedule::RoundRobin] {
        let mut world = World::new(Config::new(schedule, 1, 1).expect("sensible"));
        let worker = world.fork_listening(&[udp(53)]);
        let message = ToPrimary::Returned { listener: ListenerId(1), peer: None };
        let handle = Some(HandleToken::new(HandleName(7)));
        let now = world.now;
        world.primary.handle_input(now, primary::Input::Received { worker, message, handle });
        let primary::Action::Close { connection, why } = only_action(&mut world) else {
            panic!("closed")
        };
        assert_eq!((connection.name(), why), (HandleName(7), primary::Close::NoWorker));
    }
}

fn only_action(world: &mut World) -> primary::Action {
    let Output::Action(action) = world.primary.poll_output() else { panic!("an action") };
    assert_eq!(world.primary.poll_output(), Output::Wait(None), "the only one");
    action
}

/// A descriptor that comes with a grant that needs none is closed, and so is a passage for
/// datagrams.
#[test]
fn a_grant_with_a_descriptor_that_it_does_not_carry() {
    assert_eq!(adopted_and_closed(tcp(80)), (vec![HandleName(6)], vec![HandleName(7)]));
    assert_eq!(adopted_and_closed(udp(80)), (vec![], vec![HandleName(6), HandleName(7)]));
}

/// What an agent does with the passage 6 and the descriptor 7 that come with a listener that is
/// handed over.
fn adopted_and_closed(address: Address) -> (Vec<HandleName>, Vec<HandleName>) {
    let mut agent = Agent::new();
    let request = agent.listen(ListenSpec::new(address.clone()));
    let listener = ListenerId(1);
    let (sharing, data) = (Sharing::HandedOver, Vec::new());
    let result = Ok(Grant { listener, address, sharing, counted: false, data });
    let messages = [(ToWorker::Passage { listener }, 6), (ToWorker::Listen { request, result }, 7)];
    for (message, name) in messages {
        let handle = Some(HandleToken::new(HandleName(name)));
        agent.handle_input(agent::Input::Received { message, handle });
    }
    let (mut adopted, mut closed) = (Vec::new(), Vec::new());
    loop {
        match agent.poll_output() {
            Output::Action(agent::Action::Close { connection }) => closed.push(connection.name()),
            Output::Action(agent::Action::AdoptPassage { passage, .. }) => {
                adopted.push(passage.name());
            }
            Output::Action(agent::Action::Adopt { .. }) => panic!("adopted"),
            Output::Action(_) | Output::Event(_) => {}
            Output::Wait(_) => return (adopted, closed),
        }
    }
}
