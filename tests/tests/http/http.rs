//! What the example promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use crate::client::{Connection, Server, Target, is_cut};
use crate::example::{Ended, Example, Signal, look, send};
use crate::load::{Storm, crowd, number};
use crate::processes;
use crate::runtime::Runtime;
use crate::transcript::{End, Line, ends, serving};

pub(crate) use crate::schedules::{
    a_sharded_storm_cuts_only_what_the_dead_had, a_stopped_shard_holds_up_nobody,
    every_schedule_serves_and_replaces, few_descriptors_lose_no_connection,
    rolling_fails_nobody_where_workers_accept, silent_clients_survive_where_workers_accept,
};

pub(crate) fn round_robin_is_even(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let workers = example.workers();
    let answers = ask(&target, 400);
    assert_eq!(answers.keys().copied().collect::<Vec<_>>(), Vec::from_iter(workers));
    assert!(answers.values().all(|count| (99..=101).contains(count)), "{answers:?}");
    example.finish();
}

pub(crate) fn a_killed_worker_cuts_its_own_connections_only_and_is_replaced(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let mut connections = connections_to_all(&example, &target, 8);
    let (victim, pid) = example.workers().pop_first().expect("there are four");
    send(pid, Signal::SIGKILL);
    example.wait_for(&[Line::Exit { id: victim, end: End::killed(false) }]);
    ask(&target, 40);
    example.listening(4);
    assert_eq!(example.workers().into_keys().collect::<Vec<_>>(), [2, 3, 4, 5]);
    for (server, connection) in &mut connections {
        match connection.last_request() {
            Ok(again) => assert!(again == *server && server.worker().0 != victim),
            Err(error) => assert!(is_cut(&error) && server.worker().0 == victim, "{error}"),
        }
    }
    assert_eq!(ask(&target, 40).len(), 4);
    example.finish();
}

pub(crate) fn connections_that_a_killed_worker_has_not_taken_go_to_others(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let (victim, pid) = example.workers().pop_first().expect("there are four");
    send(pid, Signal::SIGSTOP);
    processes::expect_stopped(pid);
    // At most two of these are handed to the stopped worker, since its window is fresh, and the
    // first when its turn comes, which is before the others have had four.
    let (answered, answers) = channel();
    for _ in 0..16 {
        let (target, answered) = (target.clone(), answered.clone());
        thread::spawn(move || answered.send(target.ask()));
    }
    drop(answered);
    let mut servers: Vec<_> = answers.iter().take(4).collect();
    send(pid, Signal::SIGKILL);
    servers.extend(answers);
    assert_eq!(servers.len(), 16);
    for server in servers {
        assert_ne!(server.expect("nobody had read of it").worker().0, victim);
    }
    example.wait_for(&[Line::Exit { id: victim, end: End::killed(false) }]);
    example.listening(4);
    example.finish();
}

pub(crate) fn a_storm_cuts_only_what_the_dead_had_and_hangs_nobody(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let before = processes::descriptors(example.pid());
    let total = number("CLUSTER_STORM", 6_000) as usize;
    Storm::new(&example, &target, (total / 100).max(1)).rage(total, 32);
    example.listening(4);
    processes::expect_descriptors(example.pid(), &before);
    let after = ask(&target, 400);
    assert!(after.values().all(|count| (99..=101).contains(count)), "{after:?}");
    example.finish();
}

pub(crate) fn a_rolling_restart_fails_nobody(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &["--roll-every", "20"]);
    crowd(4_000, 16, || {
        let answer = target.ask();
        assert!(answer.is_ok(), "{answer:?}");
    });
    let lines = example.finish();
    let replaced = ends(&lines);
    assert!(replaced.len() > 8, "only {} workers have ended in all", replaced.len());
    assert!(replaced.values().all(|end| *end == End::GRACEFUL), "{replaced:?}");
}

pub(crate) fn sigterm_lets_requests_finish(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    leave_in_mid_request(example, &target, |example| example.signal(Signal::SIGTERM));
}

pub(crate) fn sigint_lets_requests_finish(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    leave_in_mid_request(example, &target, |example| example.signal(Signal::SIGINT));
}

pub(crate) fn a_terminals_interrupt_lets_requests_finish(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    leave_in_mid_request(example, &target, |example| example.signal_all(Signal::SIGINT));
}

pub(crate) fn a_signal_during_the_start_ends_all(runtime: Runtime) {
    let example = Example::start(runtime, &["--listen", "127.0.0.1:0", "--workers", "4"]);
    example.wait("the first worker", |lines| {
        lines.iter().any(|line| matches!(line, Line::Fork { .. })).then_some(())
    });
    example.signal(Signal::SIGTERM);
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
    assert!(ends(&lines).values().all(|end| *end == End::GRACEFUL), "{lines:#?}");
}

pub(crate) fn a_second_signal_kills(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let mut connection = Connection::open(&target).expect("it listens");
    connection.half_request().expect("it is connected");
    processes::expect_read(&connection);
    example.signal(Signal::SIGTERM);
    let left = example.wait("three to leave", |lines| Some(ends(lines)).filter(|it| it.len() == 3));
    assert!(left.values().all(|end| *end == End::GRACEFUL), "{left:?}");
    example.signal(Signal::SIGTERM);
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    let mut held = ends(&lines);
    held.retain(|id, _| !left.contains_key(id));
    assert_eq!(held.into_values().collect::<Vec<_>>(), [End::killed(true)]);
    assert!(is_cut(&connection.finish_request().expect_err("nobody is left")));
}

pub(crate) fn workers_end_with_a_killed_primary(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let mut connections = connections_to_all(&example, &target, 4);
    for (_, connection) in &mut connections {
        connection.half_request().expect("it is connected");
    }
    example.signal(Signal::SIGKILL);
    // The ends of both pipes, which the workers have, too.
    let Ended { status, lines, .. } = example.ended();
    assert_eq!(status.code(), None);
    assert_eq!(serving(&lines).len(), 4, "nobody was left to tell of their ends");
    for (_, connection) in &mut connections {
        assert!(is_cut(&connection.finish_request().expect_err("nobody is left")));
    }
}

pub(crate) fn where_nobody_can_listen_the_example_says_so_and_fails(runtime: Runtime) {
    let folder = Folder::new(runtime, "refused");
    let file = folder.path("file");
    fs::write(&file, "mine").expect("a folder of ours");
    let other = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let taken = Target::Tcp(other.local_addr().expect("it is bound"));
    let missing = Target::Unix(folder.path("missing/socket"));
    refused(Example::command(&runtime.program("http")), &taken, "address already in use");
    refused(Example::command(&runtime.program("http")), &missing, "no such file or directory");
    refused(
        Example::command(&runtime.program("http")),
        &Target::Unix(file.clone()),
        "address already in use",
    );
    assert_eq!(fs::read_to_string(&file).expect("it is still there"), "mine");
}

pub(crate) fn where_nobody_may_listen_the_example_says_so_and_fails(runtime: Runtime) {
    let folder = Folder::new(runtime, "forbidden");
    let program = if is_root() {
        // Others may have no way to where it was built. A file that this process writes could
        // still be open in a child of another test, and so be busy (ETXTBSY).
        let copy = folder.path("http");
        let copied = Command::new("cp").arg(runtime.program("http")).arg(&copy).status();
        assert!(copied.expect("cp starts").success());
        copy
    } else {
        runtime.program("http")
    };
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).expect("it is ours");
    let command = || {
        let mut command = Example::command(&program);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    refused(command(), &Target::Unix(folder.path("socket")), "permission denied");
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.expect("Linux tells").trim() != "0" {
        refused(command(), &Target::Tcp(([127, 0, 0, 1], 1).into()), "permission denied");
    }
}

pub(crate) fn without_workers_it_serves_alone(runtime: Runtime) {
    // Nobody tells a port of the system's choice, so this test has an address of its own.
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = match runtime {
        Runtime::Tokio => 8000,
        Runtime::Smol => 8001,
    };
    let target = Target::Tcp((Ipv4Addr::new(127, a, b, c), port).into());
    let example = Example::start(runtime, &["--workers", "0", "--listen", &target.to_string()]);
    let mut idle = look("it to listen", || Connection::open(&target).ok());
    let single = Server::Single { pid: example.pid() };
    assert_eq!(idle.request().expect("it answers"), single);
    assert_eq!(target.ask().expect("it answers"), single);
    let mut connection = Connection::open(&target).expect("it listens");
    connection.half_request().expect("it is connected");
    processes::expect_read(&connection);
    example.signal(Signal::SIGTERM);
    idle.end().expect("it is closed in good order");
    assert_eq!(connection.finish_request().expect("it was begun"), single);
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), lines.as_slice(), errors.as_str()), (Some(0), &[][..], ""));
}

pub(crate) fn a_unix_socket_is_shared_and_removed(runtime: Runtime) {
    let folder = Folder::new(runtime, "unix");
    let target = Target::Unix(folder.path("socket"));
    let mut command = Example::command(&runtime.program("http"));
    command.env("CLUSTER_LISTEN", target.to_string()).env("CLUSTER_WORKERS", "4");
    let example = Example::launch(command.env("CLUSTER_SCHEDULE", "rr"));
    assert_eq!(example.listening(4), target);
    let workers = example.workers();
    let answers = ask(&target, 8);
    assert_eq!(answers.into_keys().collect::<Vec<_>>(), Vec::from_iter(workers));
    example.finish();
    assert!(!folder.path("socket").exists());
}

pub(crate) fn ipv6_addresses_are_written_in_brackets(runtime: Runtime) {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let example = Example::start(runtime, &["--workers", "2", "--listen", "[::1]:0"]);
    let target = example.listening(2);
    assert!(target.to_string().starts_with("[::1]:"), "{target}");
    assert_eq!(ask(&target, 4).len(), 2);
    example.finish();
}

pub(crate) fn other_programs_are_workers_and_replaced(runtime: Runtime) {
    let example = Example::start(runtime, &["--workers", "2", "--exec", "false"]);
    let ended = |lines: &[Line]| ends(lines).into_values().collect::<Vec<_>>();
    let ends = example.wait("eight ends", |lines| Some(ended(lines)).filter(|it| it.len() >= 8));
    assert!(ends.iter().all(|end| *end == End::Code { code: 1, asked: false }), "{ends:?}");
    example.signal(Signal::SIGTERM);
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
}

pub(crate) fn a_wrapper_script_may_start_the_worker(runtime: Runtime) {
    let script = r#"exec "$0" "$@""#;
    let program = runtime.program("http");
    let program = program.to_str().expect("a name in UTF-8");
    let arguments = ["-c", script, program, "--listen", "127.0.0.1:0"];
    let mut all = vec!["--workers", "2", "--exec", "/bin/sh"];
    all.extend(arguments.iter().flat_map(|argument| ["--arg", argument]));
    let example = Example::start(runtime, &all);
    let target = example.listening(2);
    assert_eq!(ask(&target, 4).len(), 2);
    example.finish();
}

pub(crate) fn a_program_that_is_not_there_is_a_clear_error(runtime: Runtime) {
    let ended =
        Example::start(runtime, &["--workers", "2", "--exec", "/nonexistent/program"]).ended();
    assert_eq!(ended.status.code(), Some(1));
    let errors = ended.errors.to_lowercase();
    for part in ["/nonexistent/program", "no such file or directory"] {
        assert!(errors.contains(part), "no {part:?} in {errors:?}");
    }
}

pub(crate) fn served_connections_leave_no_descriptors_behind(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let pids = example.workers().into_values().chain([example.pid()]);
    let before: Vec<_> = pids.map(|pid| (pid, processes::descriptors(pid))).collect();
    crowd(2_000, 16, || {
        target.ask().expect("it answers");
    });
    before.iter().for_each(|(pid, before)| processes::expect_descriptors(*pid, before));
    example.finish();
}

pub(crate) fn a_connection_stays_with_its_worker_and_idle_holds_up_nobody(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let mut connection = Connection::open(&target).expect("it listens");
    let servers: Vec<_> = (0..200).map(|_| connection.request().expect("it answers")).collect();
    assert!(servers.iter().all(|server| *server == servers[0]), "{servers:?}");
    example.finish();
    connection.end().expect("it is closed in good order");
}

pub(crate) fn silent_clients_hold_up_nobody(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &[]);
    let mut silent = silent_connections(&target, 40);
    assert_eq!(ask(&target, 40).len(), 4);
    for connection in silent.iter_mut().take(20) {
        connection.last_request().expect("it listens still");
    }
    example.finish();
    for connection in silent.iter_mut().skip(20) {
        connection.end().expect("it is closed in good order");
    }
}

pub(crate) fn silent_clients_survive_their_workers(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &["--roll-every", "20"]);
    let mut silent = silent_connections(&target, 16);
    let newest = example.workers().into_keys().max().expect("there are four");
    example.wait("all workers of that time to leave", |lines| {
        ends(lines).into_keys().filter(|id| *id <= newest).nth(newest as usize - 1)
    });
    for connection in &mut silent {
        let server = connection.last_request().expect("others have it");
        assert!(server.worker().0 > newest, "{server:?} has ended");
    }
    example.finish();
}

/// Asks so often, one request after the other; tells how often each worker answered.
fn ask(target: &Target, count: usize) -> BTreeMap<(u32, u32), usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let server = target.ask().expect("it answers");
        *answers.entry(server.worker()).or_default() += 1;
    }
    answers
}

/// So many connections on which nothing was sent yet.
fn silent_connections(target: &Target, count: usize) -> Vec<Connection> {
    (0..count).map(|_| Connection::open(target).expect("it listens")).collect()
}

/// So many open connections with one request behind them, among them some to each worker.
fn connections_to_all(
    example: &Example,
    target: &Target,
    count: usize,
) -> Vec<(Server, Connection)> {
    let connect = || {
        let mut connection = Connection::open(target).expect("it listens");
        (connection.request().expect("it answers"), connection)
    };
    let connections: Vec<_> = (0..count).map(|_| connect()).collect();
    let reached = connections.iter().map(|(server, _)| server.worker());
    assert_eq!(reached.collect::<BTreeSet<_>>(), BTreeSet::from_iter(example.workers()));
    connections
}

/// With half a request at each worker: all are asked to leave, are told the other half, answer,
/// and end.
fn leave_in_mid_request(example: Example, target: &Target, ask_to_leave: impl Fn(&Example)) {
    let workers = example.workers();
    let open = |_| {
        let mut connection = Connection::open(target).expect("it listens");
        connection.half_request().expect("it is connected");
        processes::expect_read(&connection);
        connection
    };
    let connections: Vec<_> = workers.iter().map(open).collect();
    ask_to_leave(&example);
    let draining: Vec<_> = workers.keys().map(|id| Line::Draining { id: *id }).collect();
    example.wait_for(&draining);
    let finish = |mut it: Connection| it.finish_request().expect("it was begun").worker();
    let answered: BTreeMap<u32, u32> = connections.into_iter().map(finish).collect();
    assert_eq!(answered, workers);
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
    let ends = ends(&lines);
    assert!(ends.keys().eq(workers.keys()), "{ends:?}");
    assert!(ends.values().all(|end| *end == End::GRACEFUL), "{ends:?}");
}

/// Starts a cluster that cannot listen: it says why and where, and nobody is left.
fn refused(mut command: Command, target: &Target, why: &str) {
    command.args(["--workers", "4", "--listen", &target.to_string()]);
    let Ended { status, lines, errors } = Example::launch(&mut command).ended();
    assert_eq!(status.code(), Some(1), "{lines:#?}\n{errors}");
    assert!(serving(&lines).is_empty(), "{lines:#?}");
    let clear =
        |line: &str| line.contains(&target.to_string()) && line.to_lowercase().contains(why);
    assert!(errors.lines().any(clear), "no {why:?} of {target} in {errors:?}");
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A folder for one test, removed with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(runtime: Runtime, name: &str) -> Self {
        let name = format!("cluster-http-{}-{runtime}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("nobody else has this name");
        Self(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let writable = fs::Permissions::from_mode(0o755);
        let made_writable = fs::set_permissions(&self.0, writable);
        let removed = made_writable.and_then(|()| fs::remove_dir_all(&self.0));
        assert!(removed.is_ok() || thread::panicking(), "{removed:?}");
    }
}

/// The user of nobody's files.
pub(crate) const NOBODY: u32 = 65534;
