//! Starting a worker: fork and exec, with everything prepared before the fork.
//!
//! A worker starts with exactly its stdio (0, 1, 2) and its channel ([`CHANNEL_FD`]), with all
//! signals at their default and none blocked, whatever its parent had open, ignored or blocked.

mod child;
mod plan;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use cluster_core::Signal;

use crate::process::Process;
use crate::spawn::plan::{Plan, Prepared};

/// Where a worker finds its channel.
pub const CHANNEL_FD: u32 = 3;

/// What a worker runs, and how. A plain value: nothing is looked up before
/// [`spawn`](Self::spawn).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file to execute. A name without a slash is searched in the `PATH` of the worker's
    /// environment, as execvp(3) does.
    pub exec: PathBuf,
    /// What the worker sees as the name it was called by.
    pub argv0: OsString,
    /// Its further arguments.
    pub args: Vec<OsString>,
    /// Its working directory; `None` is this process's own. It is entered before privileges are
    /// dropped, as in Node, and a relative `exec` starts from it.
    pub cwd: Option<PathBuf>,
    /// Changes to this process's environment, as it is when the worker is started; `None` removes
    /// a variable.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Its standard input, output and error output.
    pub stdio: [Stdio; 3],
    /// The user to become (Node: `settings.uid`).
    pub uid: Option<u32>,
    /// The group to become (Node: `settings.gid`).
    pub gid: Option<u32>,
    /// Whether it runs under `SCHED_BATCH` (sched(7)), if that is allowed.
    pub batch: bool,
}

impl Program {
    /// This very program with its own arguments, as `fork` in Node.
    ///
    /// It is executed through `/proc/self/exe`: the image that runs now, also when its file was
    /// replaced or removed since.
    pub fn current() -> Self {
        let mut own = env::args_os();
        let argv0 = own.next().unwrap_or_default();
        Self { argv0, args: own.collect(), ..Self::new("/proc/self/exe") }
    }

    /// Another program, without arguments.
    pub fn new(exec: impl Into<PathBuf>) -> Self {
        let exec = exec.into();
        Self {
            argv0: exec.clone().into(),
            exec,
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            stdio: [Stdio::Inherit; 3],
            uid: None,
            gid: None,
            batch: false,
        }
    }

    /// Starts it with `channel` at [`CHANNEL_FD`], and with `extra_env` over its environment.
    ///
    /// This does not wait for the exec: whether it succeeded is what [`Spawning::outcome`] says
    /// later. With a uid or gid, the supplementary groups are dropped as well as this process is
    /// allowed to (as in Node), then the gid and the uid are set.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with [`SpawnStage::Prepare`] (a NUL byte in a string, no descriptor left:
    /// `EMFILE`) or [`SpawnStage::Fork`] (`EAGAIN`, `ENOMEM`, `EMFILE`). No process was made
    /// then, and nothing stays open.
    pub fn spawn(
        &self,
        channel: OwnedFd,
        extra_env: &[(&str, String)],
    ) -> Result<Spawning, SpawnError> {
        let Prepared { plan, ours: [stdin, stdout, stderr], status } =
            Plan::prepare(self, channel, extra_env).map_err(SpawnStage::Prepare.error())?;
        let process = child::fork(&plan).map_err(SpawnStage::Fork.error())?;
        // The child's ends of all pipes are closed here by dropping the plan.
        Ok(Spawning { stdin, stdout, stderr, process, status })
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::current()
    }
}

/// What a worker has at 0, 1 or 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// What this process has there, shared with it, blocking or not as it is. (Node makes it
    /// blocking, in the primary as well.)
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// A pipe to this process.
    Piped,
}

/// A worker that was forked and is about to execute its program.
///
/// It can be polled through [`AsFd`]: readable when [`outcome`](Self::outcome) has an answer.
/// Dropping it neither ends nor collects the process.
#[derive(Debug)]
pub struct Spawning {
    /// Our end of its standard input, if piped: non-blocking and close-on-exec.
    pub stdin: Option<OwnedFd>,
    /// Our end of its standard output, if piped: non-blocking and close-on-exec.
    pub stdout: Option<OwnedFd>,
    /// Our end of its error output, if piped: non-blocking and close-on-exec.
    pub stderr: Option<OwnedFd>,
    process: Process,
    status: File,
}

impl Spawning {
    /// The process, which exists from the fork on.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Whether the program was executed: `None` while it is not known, without waiting.
    ///
    /// After an error the process is gone, collected here. Ask no further after an answer: a
    /// later one is always `Ok`. (A child that was killed before its exec says `Ok`, too; its
    /// process tells the rest.)
    pub fn outcome(&mut self) -> Option<Result<(), SpawnError>> {
        // One message is written at once and is far below PIPE_BUF, so it comes whole (pipe(7)).
        let mut message = [0; MESSAGE_SIZE];
        let error = loop {
            match self.status.read(&mut message) {
                Ok(0) => return Some(Ok(())),
                Ok(_) => break SpawnError::decode(message),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return None,
                    io::ErrorKind::Interrupted => {}
                    _ => break SpawnError { stage: SpawnStage::Exec, source: error },
                },
            }
        };
        // It is in _exit(2), so this waits for nothing else. The signal is for the case that it is
        // stopped there, or that the pipe itself failed.
        match self.process.kill(Signal::KILL).and_then(|()| self.process.reap_blocking()) {
            Ok(_) => Some(Err(error)),
            Err(source) => Some(Err(SpawnError { source, ..error })),
        }
    }

    /// Takes it apart, once the outcome is known. Before that, a failing exec shows only as an
    /// exit with code 127.
    pub fn into_parts(self) -> SpawnedParts {
        let Self { stdin, stdout, stderr, process, status: _ } = self;
        SpawnedParts { process, stdin, stdout, stderr }
    }
}

impl AsFd for Spawning {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

/// What remains of a [`Spawning`] once the program runs.
#[derive(Debug)]
pub struct SpawnedParts {
    /// The process.
    pub process: Process,
    /// Our end of its standard input, if piped.
    pub stdin: Option<OwnedFd>,
    /// Our end of its standard output, if piped.
    pub stdout: Option<OwnedFd>,
    /// Our end of its error output, if piped.
    pub stderr: Option<OwnedFd>,
}

/// A worker could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the program: {stage} failed")]
pub struct SpawnError {
    /// What failed.
    pub stage: SpawnStage,
    /// How it failed.
    pub source: io::Error,
}

impl SpawnError {
    /// Reads what [`child`] wrote.
    fn decode(message: [u8; MESSAGE_SIZE]) -> Self {
        let [stage, e0, e1, e2, e3] = message;
        let errno = i32::from_ne_bytes([e0, e1, e2, e3]);
        let stage = CHILD_STAGES.into_iter().find(|known| *known as u8 == stage);
        Self {
            stage: stage.unwrap_or(SpawnStage::Exec),
            source: io::Error::from_raw_os_error(errno),
        }
    }
}

/// The steps of starting a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum SpawnStage {
    /// Preparing strings and descriptors, before there is a process.
    Prepare,
    /// Making the process (clone(2)).
    Fork,
    /// Putting stdio and the channel in their places.
    Stdio,
    /// Entering the working directory (chdir(2)).
    Chdir,
    /// Becoming another user or group (setgid(2), setuid(2)).
    Identity,
    /// Executing the program (execve(2)): `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`, …
    Exec,
}

impl SpawnStage {
    fn error(self) -> impl Fn(io::Error) -> SpawnError {
        move |source| SpawnError { stage: self, source }
    }
}

impl fmt::Display for SpawnStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "preparing",
            Self::Fork => "forking",
            Self::Stdio => "setting up its descriptors",
            Self::Chdir => "entering its working directory",
            Self::Identity => "changing its user or group",
            Self::Exec => "executing it",
        })
    }
}

/// The stages that the child reports.
const CHILD_STAGES: [SpawnStage; 4] =
    [SpawnStage::Stdio, SpawnStage::Chdir, SpawnStage::Identity, SpawnStage::Exec];

/// What the child writes when it fails: its stage, and the error number.
const MESSAGE_SIZE: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_writes_is_read_back() {
        for stage in CHILD_STAGES {
            let error = SpawnError::decode(child::message(stage, 13));
            assert_eq!((error.stage, error.source.raw_os_error()), (stage, Some(13)));
        }
    }

    #[test]
    fn the_current_program_is_this_one() {
        let program = Program::current();
        assert_eq!(program.exec, PathBuf::from("/proc/self/exe"));
        assert_eq!(Some(program.argv0), env::args_os().next());
        assert_eq!(program.args, env::args_os().skip(1).collect::<Vec<_>>());
    }
}
