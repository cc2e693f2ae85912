//! Workers whose primary is gone.

use std::process::ExitStatus;

use cluster_tests::script::{AtEnd, End, Step};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::support::{Outside, Scene};
use crate::provider::unblock;

pub(crate) async fn primary_error(scene: Scene) {
    for (end, code) in [(End::Panic, 101), (End::Exit(1), 1)] {
        let status = takes_workers_down(&scene, end, Outside::go_on).await;
        assert_eq!(status.code(), Some(code));
    }
}

pub(crate) async fn primary_kill(scene: Scene) {
    let status = takes_workers_down(&scene, End::Return(0), Outside::go_on).await;
    assert!(status.success());
    let kill = |primary: &mut Outside| {
        let pid = i32::try_from(primary.id()).expect("the system's numbers are small");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is ours");
    };
    let status = takes_workers_down(&scene, End::Return(0), kill).await;
    assert!(!status.success());
}

/// A primary with a worker that listens and one that would rather not end comes to its end; the
/// end of the standard output that all three have in common proves that the workers do, too.
async fn takes_workers_down(
    scene: &Scene,
    end: End,
    bring_about: impl FnOnce(&mut Outside),
) -> ExitStatus {
    // Workers without a parent come to this process, which so learns their statuses.
    set_child_subreaper(true).expect("Linux has it");
    let workers = vec![
        vec![Step::Listen(0, scene.anywhere()), Step::Serve(0)],
        vec![Step::Stay, Step::AtEnd(AtEnd::Exit(7))],
    ];
    let mut primary = scene.primary(workers, end, |command| command);
    let lines = primary.lines_until(&["listening 1 ", "report 1 Done", "report 2 Done"]).await;
    let forks = lines.iter().filter_map(|line| line.strip_prefix("fork ")?.split_once(' '));
    let pids: Vec<i32> = forks.map(|(_, pid)| pid.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 2);
    bring_about(&mut primary);
    let (rest, status) = primary.end().await;
    assert!(!rest.iter().any(|line| line.starts_with("exit ")), "{rest:?}");
    for pid in pids {
        let pid = Pid::from_raw(pid);
        let ended = unblock(move || waitpid(pid, None)).await;
        assert_eq!(ended, Ok(WaitStatus::Exited(pid, 0)));
    }
    status
}
