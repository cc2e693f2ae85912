//! How workers and primaries begin and end, in every order.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster_sys::primary::Command;
use cluster_sys::{ForkError, Reply, Settings, Signal, WorkerId, WorkerParts};
use nix::errno::Errno;
use nix::sys::signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, Uid, mkfifo, setuid};

use crate::driver::{Driver, Reports, worded};
use crate::roles::{ROLE, program};
use crate::site::{Reporter, Site};
use crate::support::{
    Folder, alone, assert_no_children, descriptors, limit_descriptors, limit_with_room_for,
};

#[test]
fn a_program_that_is_not_there_leaves_nothing_behind() {
    alone("ends::a_program_that_is_not_there_leaves_nothing_behind", || {
        let at_first = descriptors();
        let mut driver = Driver::new(Settings::new().exec("/nonexistent"));
        let before = descriptors();
        for worker in 1..=3 {
            let error = driver.try_fork("idle").unwrap_err();
            assert!(matches!(error, ForkError::Spawn { .. }), "{error:?}");
            let cause = worded(Errno::ENOENT);
            driver.expect(&format!(
                "error {worker} cannot start the program: executing it failed: {cause}"
            ));
            assert!(!driver.host.has_workers());
            assert_eq!(descriptors(), before);
            assert_no_children();
        }
        driver.assert_nothing_else();
        drop(driver);
        assert_eq!(descriptors(), at_first);
    });
}

#[test]
fn without_descriptors_no_worker_starts_and_nothing_is_left_behind() {
    alone("ends::without_descriptors_no_worker_starts_and_nothing_is_left_behind", || {
        let mut driver = Driver::new(program());
        let before = descriptors();
        let mut room = 0;
        while driver
            .with_room_for(room, |driver| driver.try_fork("idle"))
            .map_err(|error| assert!(matches!(error, ForkError::Spawn { .. }), "{error:?}"))
            .is_err()
        {
            driver.expect(&format!("error {} cannot start the program: *", room + 1));
            assert_eq!(descriptors(), before);
            assert_no_children();
            assert!(!driver.host.has_workers());
            room += 1;
        }
        // A pair at least.
        assert!(room > 2);
        let worker = u32::try_from(room).unwrap() + 1;
        driver.expect(&format!("fork {worker} *"));
        driver.expect(&format!("online {worker}"));
        driver.leave(&[worker]);
        assert_eq!(descriptors(), before);
    });
}

impl Driver {
    /// Does something while there is room for so many more descriptors.
    fn with_room_for<T>(&mut self, room: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        limit_descriptors(limit_with_room_for(room));
        let done = act(self);
        limit_descriptors(1024);
        done
    }
}

/// Before its program is executed, as far as the primary knows.
#[test]
fn a_worker_can_be_ended_while_it_starts() {
    alone("ends::a_worker_can_be_ended_while_it_starts", || {
        let before = descriptors();
        let worker = WorkerId::new(1).unwrap();
        let kill = Command::Kill { worker, signal: Signal::KILL };
        let close = Command::CloseChannel { worker };
        let disconnect = Command::Disconnect { worker, kill_after: None };
        let silent = Settings::new().exec("/bin/sh").args(["-c", "exec cat <&3 >/dev/null"]);
        for (end, program, lines) in [
            (kill, silent, &["disconnect 1", KILLED][..]),
            (close, program(), &["online 1", "disconnect 1", EXITED]),
            (disconnect, program(), &["draining 1", "online 1", "disconnect 1", LEFT]),
        ] {
            let mut driver = Driver::new(program);
            let settings = Settings::new().env(ROLE, "idle");
            let fork = Command::Fork { settings, reply: Reply::ignore() };
            let now = driver.now();
            driver.host.handle_commands(now, [fork, end]);
            driver.expect("fork 1 *");
            lines.iter().for_each(|line| drop(driver.expect(line)));
            driver.assert_nothing_else();
            assert!(!driver.host.has_workers());
            drop(driver);
            assert_eq!(descriptors(), before);
            assert_no_children();
        }
    });
}

/// The channel of a worker may outlive it, in the hands of a child.
#[test]
fn an_exit_may_come_before_the_end_of_the_channel() {
    let fifo = Fifo::new();
    let mut driver = Driver::new(fifo.shell("cat \"$0\" >/dev/null & exit 3"));
    let parts = driver.try_fork("").unwrap();
    driver.expect("fork 1 *");
    driver.expect("exit 1 code=3 signal=- exited_after_disconnect=false");
    assert!(driver.host.has_workers() && parts.facts.is_dead() && parts.facts.is_connected());
    fifo.end();
    driver.expect("disconnect 1");
    driver.assert_nothing_else();
    assert!(!driver.host.has_workers() && !parts.facts.is_connected());
}

#[test]
fn the_end_of_the_channel_may_come_before_the_exit() {
    let fifo = Fifo::new();
    let mut driver = Driver::new(fifo.shell("exec 3>&-; read line < \"$0\"; exit 4"));
    let parts = driver.try_fork("").unwrap();
    driver.expect("fork 1 *");
    driver.expect("disconnect 1");
    assert!(driver.host.has_workers() && !parts.facts.is_dead() && !parts.facts.is_connected());
    fifo.end();
    driver.expect("exit 1 code=4 signal=- exited_after_disconnect=false");
    driver.assert_nothing_else();
    assert!(!driver.host.has_workers() && parts.facts.is_dead());
}

/// Whoever reads it waits for [`end`](Self::end).
struct Fifo {
    folder: Folder,
}

impl Fifo {
    fn new() -> Self {
        let folder = Folder::new();
        mkfifo(&folder.join("fifo"), Mode::S_IRWXU).unwrap();
        Self { folder }
    }

    /// A shell that knows it as `$0`.
    fn shell(&self, script: &str) -> Settings {
        let args: [PathBuf; 3] = ["-c".into(), script.into(), self.path()];
        Settings::new().exec("/bin/sh").args(args)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("fifo")
    }

    /// Opens it, which waits for the reader, and closes it.
    fn end(self) {
        drop(OpenOptions::new().write(true).open(self.path()).unwrap());
    }
}

#[test]
fn who_does_not_leave_in_time_is_killed() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("idle");
    driver.stop(&parts);
    let now = Instant::now();
    driver.clock = Some(now);
    let hour = Duration::from_secs(3600);
    let worker = parts.facts.id();
    driver.order(Command::Disconnect { worker, kill_after: Some(2 * hour) });
    assert_eq!(driver.host.poll_timeout(), Some(now + 2 * hour));
    // The earlier one is in force.
    driver.order(Command::Disconnect { worker, kill_after: Some(hour) });
    assert_eq!(driver.host.poll_timeout(), Some(now + hour));
    driver.clock = Some(now + hour - Duration::from_nanos(1));
    driver.host.handle_timeout(driver.now());
    driver.expect("draining 1");
    driver.assert_nothing_else();
    driver.clock = Some(now + hour);
    driver.turn(Duration::ZERO);
    assert_eq!((driver.timeouts, driver.host.poll_timeout()), (1, None));
    driver.expect("disconnect 1");
    driver.expect("exit 1 code=- signal=SIGKILL exited_after_disconnect=true");
    driver.assert_nothing_else();
}

/// Nobody may signal what has become another user's.
#[test]
fn a_signal_that_may_not_be_sent_is_an_error() {
    alone("ends::a_signal_that_may_not_be_sent_is_an_error", || {
        if !Uid::effective().is_root() {
            return;
        }
        let mut driver = Driver::new(program());
        let parts = driver.fork("idle");
        setuid(Uid::from_raw(65534)).unwrap();
        driver.order(Command::Kill { worker: parts.facts.id(), signal: Signal::TERM });
        driver.expect(&format!("error 1 cannot send SIGTERM: {}", worded(Errno::EPERM)));
        driver.leave(&[1]);
    });
}

/// The last words of a worker and the end of its channel may become known at once. The process
/// lives on, so nothing else tells of the end.
#[test]
fn an_end_that_comes_with_the_last_words_is_seen() {
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    let (parts, _) = driver.fork_listening("disconnected");
    let report = {
        driver.order(Command::Disconnect { worker: parts.facts.id(), kill_after: None });
        let mut report = reports.accept();
        assert_eq!(report.next(), "disconnected");
        report
    };
    driver.expect("draining 1");
    driver.expect("disconnect 1");
    driver.assert_nothing_else();
    assert!(!parts.facts.is_dead());
    drop(report);
    driver.expect("exit 1 code=0 signal=- exited_after_disconnect=true");
    driver.assert_nothing_else();
}

pub(crate) fn disconnects_and_stays() {
    let mut reporter = Reporter::new();
    let mut site = Site::new();
    site.listen();
    site.serve_on();
    reporter.say("disconnected");
    reporter.await_end();
}

/// As above, for a worker: one that missed the end of its primary would never end.
#[test]
fn a_worker_sees_the_end_of_its_primary_behind_its_last_words() {
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    let parts = driver.fork("orphan");
    let mut report = reports.accept();
    driver.stop(&parts);
    driver.send(&parts, "last words");
    drop(driver);
    let pid = pid(&parts);
    signal::kill(pid, signal::Signal::SIGCONT).unwrap();
    assert_eq!(report.next(), "");
    assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
}

pub(crate) fn orphan() {
    let _reporter = Reporter::new();
    Site::new().serve_on();
    unreachable!("its end comes first");
}

#[test]
fn workers_end_with_their_primary() {
    alone("ends::workers_end_with_their_primary", || {
        let before = descriptors();
        let reports = Reports::new();
        let mut driver = Driver::new(reports.program());
        let workers = [(); 3].map(|()| driver.fork("orphan"));
        let mut each = [(); 3].map(|()| reports.accept());
        // One that has hardly begun.
        let settings = Settings::new().env(ROLE, "orphan");
        driver.order(Command::Fork { settings, reply: Reply::ignore() });
        drop(driver);
        for (parts, report) in workers.iter().zip(&mut each) {
            assert_eq!(report.next(), "");
            let pid = pid(parts);
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
        }
        assert_eq!(reports.accept().next(), "");
        assert!(matches!(waitpid(None, None), Ok(WaitStatus::Exited(_, 0))));
        drop((reports, each));
        assert_eq!(descriptors(), before);
        assert_no_children();
    });
}

fn pid(parts: &WorkerParts) -> Pid {
    Pid::from_raw(parts.facts.pid().unwrap().0.cast_signed())
}

const KILLED: &str = "exit 1 code=- signal=SIGKILL exited_after_disconnect=false";
const EXITED: &str = "exit 1 code=0 signal=- exited_after_disconnect=false";
const LEFT: &str = "exit 1 code=0 signal=- exited_after_disconnect=true";
