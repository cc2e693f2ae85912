//! What the tests of the leaves share. Facts are the only barriers here: bytes, ends, readiness.

#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod arrange;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use cluster_core::{ExitStatus, Signal};
use cluster_sys::channel::Channel;
use cluster_sys::process::Process;
use cluster_sys::spawn::{Program, SpawnError, SpawnedParts, Spawning};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

/// Runs `body` in a process of its own: this test program again, with this one test. So it may
/// change what belongs to a process, and no other test is there to be disturbed.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    alone_with(test, Path::new("/proc/self/exe"), &[], body);
}

/// As [`alone`], with another copy of the program and more environment variables.
pub(crate) fn alone_with(test: &str, exe: &Path, vars: &[(&str, &str)], body: impl FnOnce()) {
    if is_alone(test) {
        return body();
    }
    let output = Command::new(exe)
        .args(only(test))
        .env(ALONE, test)
        .envs(vars.iter().copied())
        .output()
        .expect("the test program runs again");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test} failed in its own process ({}):\n{stdout}\n{stderr}",
        output.status,
    );
    let skipped = stdout.lines().filter_map(|line| Some(&line[line.find(SKIPPED)?..]));
    skipped.for_each(|line| println!("{line}"));
}

/// Says that a test, or a part of it, proves nothing here. What is said in a process [`alone`] is
/// said again where it was started.
pub(crate) fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// Whether this is the process of [`alone`] for `test`.
pub(crate) fn is_alone(test: &str) -> bool {
    env::var(ALONE).is_ok_and(|value| value == test)
}

/// Arguments for this test program to run `test` only, in its first thread.
pub(crate) fn only(test: &str) -> [&str; 4] {
    ["--exact", test, "--nocapture", "--test-threads=1"]
}

/// The variable that tells a test that it is in the process of [`alone`].
pub(crate) const ALONE: &str = "CLUSTER_TEST_ALONE";

const SKIPPED: &str = "skipped: ";

/// The open descriptors of a process, and what they are.
pub(crate) fn descriptors_of(pid: u32) -> BTreeMap<i32, String> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    // Names only: an entry would keep the folder open, which is one of them if it is our own.
    let names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let mut found = BTreeMap::new();
    for name in names {
        if let Ok(target) = fs::read_link(folder.join(&name)) {
            let number = name.to_str().unwrap().parse().unwrap();
            found.insert(number, target.to_str().unwrap().to_owned());
        }
    }
    found
}

/// The open descriptors of this process. Only meaningful in a process [`alone`].
pub(crate) fn descriptors() -> BTreeMap<i32, String> {
    descriptors_of(process::id())
}

/// What a descriptor is, as the link in `/proc` says.
pub(crate) fn target(fd: impl AsFd) -> String {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    fs::read_link(link).unwrap().to_str().unwrap().to_owned()
}

/// From now on this process may have descriptors below `limit` only.
pub(crate) fn limit_descriptors(limit: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
}

/// The lowest limit under which this process has room for `more` descriptors.
pub(crate) fn limit_with_room_for(more: usize) -> u64 {
    let open = descriptors();
    let free = (0..).filter(|number| !open.contains_key(number));
    u64::try_from(free.take(more).last().map_or(0, |last| last + 1)).unwrap()
}

/// Asserts that this process has no child, neither running nor ended. Only meaningful in a process
/// [`alone`].
#[track_caller]
pub(crate) fn assert_no_children() {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    assert_eq!(waitid(Id::All, flags), Err(Errno::ECHILD));
}

/// Waits until `fd` is readable (or has an error or its end to tell).
#[track_caller]
pub(crate) fn wait_readable(fd: impl AsFd) {
    let mut poll = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry, ours.
        let ready = unsafe { libc::poll(&raw mut poll, 1, TIMEOUT_MS) };
        match Errno::result(ready) {
            Err(Errno::EINTR) => {}
            other => return assert_eq!(other, Ok(1), "nothing happened for too long"),
        }
    }
}

/// Whether `fd` is readable now.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, ours.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    Errno::result(ready).unwrap() == 1
}

/// Everything up to the end of a non-blocking pipe.
#[track_caller]
pub(crate) fn read_to_end(fd: OwnedFd) -> String {
    let mut file = File::from(fd);
    let mut text = Vec::new();
    loop {
        match file.read_to_end(&mut text) {
            Ok(_) => return String::from_utf8(text).unwrap(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_readable(&file),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits for the next bytes of a channel; their text is empty at its end.
#[track_caller]
pub(crate) fn next_text(channel: &Channel) -> String {
    wait_readable(channel);
    let mut buffer = [0; 4096];
    let count = channel.receive(&mut buffer, &mut Vec::new()).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

/// Starts a program with a new channel, without waiting for its exec.
pub(crate) fn start(program: &Program) -> Result<(Channel, Spawning), SpawnError> {
    let (ours, theirs) = Channel::pair().unwrap();
    Ok((ours, program.spawn(theirs, &[])?))
}

/// Waits for what became of the exec.
#[track_caller]
pub(crate) fn outcome(spawning: &mut Spawning) -> Result<(), SpawnError> {
    loop {
        match spawning.outcome() {
            None => wait_readable(&*spawning),
            Some(outcome) => return outcome,
        }
    }
}

/// Starts a program and waits for its exec.
#[track_caller]
pub(crate) fn started(program: &Program) -> (Channel, SpawnedParts) {
    let (channel, mut spawning) = start(program).unwrap();
    outcome(&mut spawning).unwrap();
    (channel, spawning.into_parts())
}

/// The error of a program that cannot be started, before or after the fork.
#[track_caller]
pub(crate) fn start_error(program: &Program) -> SpawnError {
    match start(program) {
        Err(error) => error,
        Ok((_channel, mut spawning)) => outcome(&mut spawning).unwrap_err(),
    }
}

/// Waits for a process's end and collects it.
#[track_caller]
pub(crate) fn ended(process: &Process) -> ExitStatus {
    wait_readable(process);
    process.reap().unwrap().expect("what is readable has ended")
}

/// `sh -c script`.
pub(crate) fn shell(script: &str) -> Program {
    let mut program = Program::new("/bin/sh");
    program.args = vec!["-c".into(), script.into()];
    program
}

/// A shell that has come to a standstill, to be looked at; killed when dropped.
pub(crate) struct Stopped {
    pub(crate) channel: Channel,
    pub(crate) parts: SpawnedParts,
}

impl Stopped {
    /// `change` is what the shell is to be started with.
    #[track_caller]
    pub(crate) fn with(change: impl FnOnce(&mut Program)) -> Self {
        let mut program = shell("kill -STOP $$");
        change(&mut program);
        let (channel, theirs) = Channel::pair().unwrap();
        Self::start(&program, channel, theirs)
    }

    /// Starts a program that stops itself.
    #[track_caller]
    pub(crate) fn start(program: &Program, channel: Channel, theirs: OwnedFd) -> Self {
        let mut spawning = program.spawn(theirs, &[]).unwrap();
        outcome(&mut spawning).unwrap();
        Self::wait(channel, spawning)
    }

    /// Waits until it has stopped itself.
    #[track_caller]
    pub(crate) fn wait(channel: Channel, spawning: Spawning) -> Self {
        let stopped = Self { channel, parts: spawning.into_parts() };
        let pid = nix::unistd::Pid::from_raw(stopped.pid().cast_signed());
        let found = waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED);
        assert!(matches!(found, Ok(WaitStatus::Stopped(..))), "{found:?}");
        stopped
    }

    pub(crate) fn pid(&self) -> u32 {
        self.parts.process.pid().0
    }

    /// A file of it in `/proc`.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid()))
    }

    /// A field of its status.
    pub(crate) fn status(&self, field: &str) -> String {
        status_field(&fs::read_to_string(self.proc("status")).unwrap(), field)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.parts.process.kill(Signal::KILL).unwrap();
        ended(&self.parts.process);
    }
}

/// A field of a `/proc/PID/status`.
#[track_caller]
pub(crate) fn status_field(status: &str, field: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
}

/// An empty folder, removed with what is in it when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("cluster-sys-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Nothing in these tests takes this long.
const TIMEOUT_MS: i32 = 30_000;

/// Each message that is received from the socket brings one of its sender's process, for whoever
/// receives it (since Linux 6.5).
pub(crate) fn add_descriptors(socket: impl AsFd) {
    const SO_PASSPIDFD: libc::c_int = 76;
    let (fd, on) = (socket.as_fd().as_raw_fd(), 1);
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads one number, which is there.
    let set = Errno::result(unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, SO_PASSPIDFD, (&raw const on).cast(), size)
    });
    assert!(matches!(set, Ok(_) | Err(Errno::ENOPROTOOPT)), "{set:?}");
}
