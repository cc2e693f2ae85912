//! The promises of the `http` example under schedules other than the default.

use std::iter::repeat_with;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::client::{Connection, Target};
use crate::example::{Example, Signal, send};
use crate::http::{Folder, NOBODY, is_root};
use crate::load::{Storm, crowd};
use crate::processes;
use crate::runtime::Runtime;
use crate::transcript::{End, Line, ends};

pub(crate) fn every_schedule_serves_and_replaces(runtime: Runtime) {
    for schedule in ["rr", "none", "sharded", "least-loaded", "power-of-two", "sticky"] {
        let (example, target) = Example::serving(runtime, 3, &["--schedule", schedule]);
        ask(&target, 60);
        let (victim, pid) = example.workers().pop_first().expect("there are three");
        send(pid, Signal::SIGKILL);
        example.wait_for(&[Line::Exit { id: victim, end: End::killed(false) }]);
        example.listening(3);
        ask(&target, 60);
        example.finish();
    }
}

pub(crate) fn rolling_fails_nobody_where_workers_accept(runtime: Runtime) {
    for schedule in ["none", "sharded"] {
        let options = ["--schedule", schedule, "--roll-every", "20"];
        let (example, target) = Example::serving(runtime, 4, &options);
        let mut rolled = 0;
        while rolled < 8 {
            ask(&target, 200);
            rolled = example.wait("what it says", |lines| Some(ends(lines).len()));
        }
        let replaced = ends(&example.finish());
        assert!(replaced.values().all(|end| *end == End::GRACEFUL), "{replaced:?}");
    }
}

pub(crate) fn silent_clients_survive_where_workers_accept(runtime: Runtime) {
    for schedule in ["none", "sharded"] {
        let options = ["--schedule", schedule, "--roll-every", "20"];
        let (example, target) = Example::serving(runtime, 2, &options);
        let mut silent: Vec<_> =
            (0..8).map(|_| Connection::open(&target).expect("it listens")).collect();
        let newest = example.workers().into_keys().max().expect("there are two");
        example.wait("all workers of that time to leave", |lines| {
            ends(lines).into_keys().filter(|id| *id <= newest).nth(newest as usize - 1)
        });
        for connection in &mut silent {
            let server = connection.last_request().expect("others have it");
            assert!(server.worker().0 > newest, "{server:?} has ended");
        }
        example.finish();
    }
}

pub(crate) fn a_sharded_storm_cuts_only_what_the_dead_had(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 4, &["--schedule", "sharded"]);
    let before = processes::descriptors(example.pid());
    Storm::new(&example, &target, 60).rage(3_000, 32);
    example.listening(4);
    processes::expect_descriptors(example.pid(), &before);
    ask(&target, 400);
    example.finish();
}

/// What is queued for a worker that does not accept is served by others, and what comes later
/// never waits for it.
pub(crate) fn a_stopped_shard_holds_up_nobody(runtime: Runtime) {
    let (example, target) = Example::serving(runtime, 3, &["--schedule", "sharded"]);
    let (stopped, pid) = example.workers().pop_first().expect("there are three");
    send(pid, Signal::SIGSTOP);
    processes::expect_stopped(pid);
    crowd(200, 16, || {
        let server = target.ask().expect("somebody has it");
        assert_ne!(server.worker().0, stopped);
    });
    send(pid, Signal::SIGCONT);
    let mut answers = repeat_with(|| target.ask().expect("it answers").worker().0);
    assert!(answers.any(|it| it == stopped), "it comes back");
    example.finish();
}

/// As an ordinary user with few descriptors, no connection is lost: what cannot be held waits.
pub(crate) fn few_descriptors_lose_no_connection(runtime: Runtime) {
    for schedule in ["rr", "sharded"] {
        let folder = Folder::new(runtime, &format!("few-{schedule}"));
        let program = folder.path("http");
        // A file that this process writes could still be open in a child of another test, and so
        // be busy (ETXTBSY).
        let copied = Command::new("cp").arg(runtime.program("http")).arg(&program).status();
        assert!(copied.expect("cp starts").success());
        // A shell sets the limit, and gives its place to the program.
        let mut command = Example::command(Path::new("/bin/sh"));
        command.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"]).arg(program);
        command.args(["--listen", "127.0.0.1:0", "--workers", "2", "--schedule", schedule]);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let example = Example::launch(&mut command);
        let target = example.listening(2);
        crowd(2_000, 100, || {
            let answer = target.ask();
            assert!(answer.is_ok(), "{answer:?}");
        });
        example.finish();
    }
}

fn ask(target: &Target, count: usize) {
    crowd(count, 16, || {
        let answer = target.ask();
        assert!(answer.is_ok(), "{answer:?}");
    });
}
