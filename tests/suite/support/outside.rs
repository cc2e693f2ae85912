//! Processes that the test starts by itself, and folders.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use cluster_tests::script::Task;

use crate::provider::{FIXTURE, unblock};

/// A fixture that no cluster has started. Whatever it starts inherits its standard output, the
/// end of which so proves the end of them all.
pub(crate) struct Outside {
    child: Guard,
    stdin: Option<ChildStdin>,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Outside {
    /// Starts one whose command is changed before.
    pub(crate) fn start(task: &Task, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(FIXTURE);
        command.arg(serde_json::to_string(task).expect("a task has a JSON form"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that what is left can be killed.
        change(command.process_group(0));
        let forking = Forking::new();
        let mut child = command.spawn().expect("the fixture can be started");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        drop(forking);
        let lines = stdout.map(|it| BufReader::new(it).lines());
        Self { child: Guard(child), stdin, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let mut lines = self.lines.take().expect("not ended");
        let (line, lines) = unblock(move || (lines.next(), lines)).await;
        self.lines = Some(lines);
        line.expect("it goes on").expect("text")
    }

    /// Reads until each of these lines has come; gives all that have.
    pub(crate) async fn lines_until(&mut self, expected: &[&str]) -> Vec<String> {
        let mut seen = Vec::new();
        while !expected.iter().all(|it| seen.iter().any(|line: &String| line.starts_with(it))) {
            seen.push(self.line().await);
        }
        seen
    }

    /// Lets a fixture primary come to its end.
    pub(crate) fn go_on(&mut self) {
        self.stdin = None;
    }

    /// Waits until it and all that it has started have ended; gives what was still printed, and
    /// its own status.
    pub(crate) async fn end(mut self) -> (Vec<String>, ExitStatus) {
        let lines = self.lines.take().expect("not ended");
        let mut child = self.child;
        unblock(move || {
            let rest = lines.collect::<Result<Vec<_>, _>>().expect("text");
            (rest, child.0.wait().expect("it is a child"))
        })
        .await
    }
}

/// A process is being started. Until its program is executed, it has a copy of each descriptor
/// of this process, also of those of other tests.
pub(crate) struct Forking {
    _shared: RwLockReadGuard<'static, ()>,
}

impl Forking {
    pub(crate) fn new() -> Self {
        Self { _shared: FORKS.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits for those under way: what was closed before is closed for good.
    pub(crate) fn wait() {
        drop(FORKS.write().unwrap_or_else(PoisonError::into_inner));
    }
}

static FORKS: RwLock<()> = RwLock::new(());

/// Kills its process and whatever is left of its group.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let group = i32::try_from(self.0.id()).expect("the system's numbers are small");
            let group = nix::unistd::Pid::from_raw(group);
            // They may be ending just now.
            nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap_or_default();
            self.0.wait().map(drop).unwrap_or_default();
        }
    }
}

/// A folder for one test, removed with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("cluster-tests-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("there is room for files");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done.
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}
