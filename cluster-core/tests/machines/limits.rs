//! Each limit of `limits.rs`, reached by name.

use std::time::Duration;

use cluster_core::limits::{
    ACCEPT_RETRY, BACKLOG_DEFAULT, LISTENERS_PER_WORKER, WAITING_DEFAULT, WINDOW_DEFAULT,
    WINDOW_MAX, WORKERS_MAX,
};
use cluster_core::primary::{Action, Input, TooManyWorkers};
use cluster_core::{
    Address, Config, ListenError, ListenSpec, ListenerId, Output, Pid, Primary, Reason, RequestId,
    Schedule, SlotId, ToPrimary, ToWorker, UnixName, WorkerId,
};

use crate::world::process::Stage;
use crate::world::{World, epoch, tcp};

fn one_that_takes_nothing(config: Config) -> (World, WorkerId) {
    let mut world = World::new(config);
    let worker = world.fork_listening(&[tcp(80)]);
    world.process(worker).application.appetite = 0;
    (world, worker)
}

/// Its window has grown to the most that it may be.
fn one_with_a_full_window(config: Config) -> (World, WorkerId) {
    let mut world = World::new(config);
    let worker = world.fork_listening(&[tcp(80)]);
    for _ in 0..config.window() {
        world.connect(&tcp(80)).expect("somebody listens");
        world.drive();
    }
    world.process(worker).application.appetite = 0;
    (world, worker)
}

/// Clients connect until the kernel refuses one, with the primary accepting; says how many.
fn connect_until_refused(world: &mut World) -> usize {
    let before = world.kernel.connections.len();
    while world.connect(&tcp(80)).is_some() {
        world.drive();
    }
    world.kernel.connections.len() - before
}

#[test]
fn workers_max() {
    let mut primary = Primary::new(Config::default());
    for _ in 0..WORKERS_MAX {
        primary.fork().expect("room for one more");
        assert!(matches!(primary.poll_output(), Output::Action(Action::Spawn { .. })));
    }
    assert_eq!(primary.fork(), Err(TooManyWorkers));
    assert_eq!(primary.poll_output(), Output::Wait(None));
    assert_eq!(primary.workers().count(), WORKERS_MAX);
}

/// Requests that wait for their listener count, too; it is a limit for each worker, and one
/// that closes makes room.
#[test]
fn listeners_per_worker() {
    let mut primary = Primary::new(Config::default());
    let [first, second] = [1, 2].map(|number| {
        let worker = primary.fork().expect("room");
        tell(&mut primary, Input::Spawned { worker, pid: Pid(number) });
        worker
    });
    for number in 0..LISTENERS_PER_WORKER {
        assert_eq!(ask(&mut primary, first, number), None);
    }
    let one_more = ask(&mut primary, first, LISTENERS_PER_WORKER);
    assert_eq!(one_more, Some(ListenError::TooMany));
    assert_eq!(ask(&mut primary, second, LISTENERS_PER_WORKER), None);
    let message = ToPrimary::Close { listener: ListenerId(7) };
    tell(&mut primary, Input::Received { worker: first, message, handle: None });
    assert_eq!(ask(&mut primary, first, LISTENERS_PER_WORKER), None);
}

/// A worker asks for a listener of its own; says why it is denied, if it is.
fn ask(primary: &mut Primary, worker: WorkerId, number: usize) -> Option<ListenError> {
    let name = UnixName(number.to_string().into_bytes());
    let spec = ListenSpec::new(Address::Unix(name));
    let message = ToPrimary::Listen { request: RequestId(1), spec };
    tell(primary, Input::Received { worker, message, handle: None })
}

/// Tells the primary something; says why a listen is denied, if one is.
fn tell(primary: &mut Primary, input: Input) -> Option<ListenError> {
    primary.handle_input(epoch(), input);
    let mut denied = None;
    loop {
        match primary.poll_output() {
            Output::Action(Action::Send {
                message: ToWorker::Listen { result: Err(error), .. },
                ..
            }) => denied = Some(error),
            Output::Action(_) | Output::Event(_) => {}
            Output::Wait(_) => return denied,
        }
    }
}

#[test]
fn waiting_and_window_and_backlog_by_default() {
    let (mut world, worker) = one_with_a_full_window(Config::default());
    let most = WINDOW_DEFAULT + WAITING_DEFAULT + BACKLOG_DEFAULT as usize;
    assert_eq!(connect_until_refused(&mut world), most);
    let listener = world.process(worker).application.listeners[0];
    assert_eq!(world.witness.untaken(worker), WINDOW_DEFAULT);
    assert_eq!(world.primary.connections(), WINDOW_DEFAULT + WAITING_DEFAULT);
    let socket = &world.kernel.sockets[&(listener, SlotId(0))];
    assert!(!socket.accepting && socket.backlog.len() == BACKLOG_DEFAULT as usize);
    // One that is taken makes room for one.
    world.process(worker).application.appetite = 1;
    world.drive();
    assert_eq!(connect_until_refused(&mut world), 1);
    world.process(worker).application.appetite = usize::MAX;
    world.drive();
    assert!(world.kernel.connections.iter().all(|it| it.served));
    assert!(world.kernel.sockets[&(listener, SlotId(0))].accepting);
}

#[test]
fn window_max() {
    let config = Config::new(Schedule::RoundRobin, 1, WINDOW_MAX).expect("the most there may be");
    let config = config.with_budget(2 * WINDOW_MAX).expect("not 0");
    let (mut world, worker) = one_with_a_full_window(config);
    assert_eq!(connect_until_refused(&mut world), WINDOW_MAX + 1 + BACKLOG_DEFAULT as usize);
    assert_eq!(world.witness.untaken(worker), WINDOW_MAX);
}

/// The window is a worker's, however many listeners it shares.
#[test]
fn window_over_all_listeners() {
    let mut world = World::new(Config::default());
    let worker = world.fork_listening(&[tcp(80), tcp(81), tcp(82)]);
    for number in 0..60 {
        world.connect(&tcp(80 + number % 3)).expect("somebody listens");
        world.drive();
    }
    world.process(worker).stage = Stage::Blocked;
    for number in 0..60 {
        world.connect(&tcp(80 + number % 3)).expect("somebody listens");
    }
    world.drive();
    // The first listener has used the window up; of each other, one may come all the same.
    assert_eq!(world.witness.untaken(worker), WINDOW_DEFAULT + 2);
    assert_eq!(world.primary.connections(), 60);
}

/// When all have connections that wait, each gets its turn.
#[test]
fn no_listener_starves_another() {
    let config = Config::new(Schedule::RoundRobin, 8, 1).expect("sensible");
    let mut world = World::new(config);
    let worker = world.fork_listening(&[tcp(80), tcp(81), tcp(82)]);
    world.process(worker).application.appetite = 0;
    for number in 0..24 {
        world.connect(&tcp(80 + number / 8)).expect("somebody listens");
    }
    world.drive();
    for _ in 0..9 {
        let application = &mut world.process(worker).application;
        application.appetite = 1;
        application.listeners.rotate_left(1);
        world.drive();
    }
    let served = |of: std::ops::Range<usize>| {
        world.kernel.connections[of].iter().filter(|it| it.served).count()
    };
    assert_eq!([served(0..8), served(8..16), served(16..24)], [3, 3, 3]);
}

#[test]
fn accept_retry() {
    let (mut world, worker) = one_that_takes_nothing(Config::default());
    let listener = world.process(worker).application.listeners[0];
    world.kernel.exhausted = true;
    world.connect(&tcp(80)).expect("somebody listens");
    world.drive();
    let at = world.now + ACCEPT_RETRY;
    assert_eq!(world.primary.next_deadline(), Some((at, Reason::AcceptRetry(listener))));
    assert_eq!(world.deadline, Some(at));
    world.pass(ACCEPT_RETRY - Duration::from_nanos(1));
    assert!(!world.kernel.sockets[&(listener, SlotId(0))].accepting);
    world.pass(Duration::from_nanos(1));
    assert!(world.kernel.sockets[&(listener, SlotId(0))].accepting);
    assert_eq!(world.deadline, None);
}

#[test]
fn backlog_default() {
    assert_eq!(ListenSpec::new(tcp(80)).backlog, BACKLOG_DEFAULT);
}

/// Polled again, it waits again: before the first word, after it, and with a deadline.
#[test]
fn wait_again() {
    let mut primary = Primary::new(Config::default());
    for _ in 0..3 {
        assert_eq!(primary.poll_output(), Output::Wait(None));
    }
    let worker = primary.fork().expect("room");
    let patience = Duration::from_secs(1);
    let now = epoch();
    primary.disconnect(now, worker, Some(patience)).expect("there is");
    while !matches!(primary.poll_output(), Output::Wait(_)) {}
    for _ in 0..3 {
        assert_eq!(primary.poll_output(), Output::Wait(Some(now + patience)));
    }
    let mut agent = cluster_core::Agent::new();
    assert!(matches!(agent.poll_output(), Output::Action(_)));
    for _ in 0..3 {
        assert_eq!(agent.poll_output(), Output::Wait(None));
    }
}
