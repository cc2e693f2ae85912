//! Rollouts refuse nobody, and broken ones end early.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use crate::client::Target;
use crate::example::{Example, Signal};
use crate::harness::{Folder, WORKERS, crowd, others, said};
use crate::runtime::Runtime;
use crate::transcript::{End, ends};

pub(crate) fn two_thousand_connections_during_rollouts_and_none_fails(runtime: Runtime) {
    let folder = Folder::new(runtime, "rollouts");
    let (example, target) = serving(runtime, &folder);
    let rollouts = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            crowd(2_000, 8, |_| {
                let answer = target.ask();
                assert!(answer.is_ok(), "{answer:?}");
            });
        });
        let mut rollouts = 0;
        while !clients.is_finished() {
            example.signal(Signal::SIGHUP);
            rollouts += 1;
            example.wait("the rollout", |lines| {
                let done = others(lines).filter(|line| *line == "rollout done").count();
                (done == rollouts).then_some(())
            });
        }
        rollouts
    });
    example.listening(WORKERS);
    let lines = example.finish();
    let ends = ends(&lines);
    assert_eq!(ends.len(), WORKERS * (rollouts + 1));
    assert!(ends.values().all(|end| *end == End::GRACEFUL), "{ends:?}");
}

pub(crate) fn a_broken_deploy_leaves_the_old_workers_where_they_are(runtime: Runtime) {
    let folder = Folder::new(runtime, "broken");
    let [dies, hangs] = [("dies", "exit 3"), ("hangs", "exec sleep 600")].map(|(name, line)| {
        let path = folder.path(name);
        fs::write(&path, format!("#!/bin/sh\n{line}\n")).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        path
    });
    let (example, target) = serving(runtime, &folder);
    let old = example.workers();
    for (program, verdict) in [
        (&dies, "worker 5 did not listen, but ended: code=3 signal=-"),
        (&hangs, "worker 6 did not listen within 3s"),
    ] {
        deploy(&folder, program);
        example.signal(Signal::SIGHUP);
        let wanted = format!("rollout aborted: {verdict}");
        example.wait(&wanted, |lines| others(lines).find(|line| **line == wanted).map(drop));
        assert_eq!(example.workers(), old);
        crowd(40, 4, |_| {
            let (id, pid) = target.ask().expect("the old ones serve").worker();
            assert_eq!(old.get(&id), Some(&pid));
        });
    }
    deploy(&folder, &runtime.program("rolling"));
    example.signal(Signal::SIGHUP);
    said(&example, "rollout done");
    assert_eq!(example.workers().into_keys().collect::<Vec<_>>(), [7, 8, 9, 10]);
    let ends = ends(&example.finish());
    assert_eq!(ends[&5], End::Code { code: 3, asked: false });
    assert_eq!(ends[&6], End::killed(false));
}

/// The example, started by a name in this folder.
fn serving(runtime: Runtime, folder: &Folder) -> (Example, Target) {
    deploy(folder, &runtime.program("rolling"));
    let mut command = Example::command(&folder.path("server"));
    let example = Example::launch(command.args(["127.0.0.1:0", "3"]));
    let target = example.listening(WORKERS);
    (example, target)
}

/// From now on, the name means this program.
fn deploy(folder: &Folder, program: &Path) {
    let new = folder.path("new");
    symlink(program, &new).expect("the folder is ours");
    fs::rename(new, folder.path("server")).expect("the folder is ours");
}
