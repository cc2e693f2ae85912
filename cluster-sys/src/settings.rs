//! What workers run, and how: changes to a program.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use cluster_ipc::Encoding;

use crate::spawn::{Program, Stdio};

/// Changes to what workers run. What is not mentioned stays as it is.
///
/// The settings of a cluster are sticky: what one change says holds for all later forks, until
/// another one says otherwise. A single fork may have changes of its own. (Node:
/// `cluster.setupPrimary(settings)`.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Settings {
    exec: Option<PathBuf>,
    args: Option<Vec<OsString>>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, Option<OsString>)>,
    stdio: [Option<Stdio>; 3],
    uid: Option<u32>,
    gid: Option<u32>,
    batch: Option<bool>,
    encoding: Option<Encoding>,
}

impl Settings {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Workers run this program, without arguments unless [`args`](Self::args) are given, too.
    /// A name without a slash is looked for in `PATH`. (Node: `settings.exec`.)
    pub fn exec(mut self, program: impl Into<PathBuf>) -> Self {
        self.exec = Some(program.into());
        self
    }

    /// The arguments of workers. (Node: `settings.args`.)
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// The working directory of workers. (Node: `settings.cwd`.)
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Sets an environment variable of workers, over what the primary has when they start.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable of workers.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The standard input of workers.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdio[0] = Some(stdin);
        self
    }

    /// The standard output of workers.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdio[1] = Some(stdout);
        self
    }

    /// The error output of workers.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stdio[2] = Some(stderr);
        self
    }

    /// Pipes for the standard input, output and error output of workers, or the primary's own.
    /// (Node: `settings.silent`.)
    pub fn silent(mut self, silent: bool) -> Self {
        let stdio = if silent { Stdio::Piped } else { Stdio::Inherit };
        self.stdio = [Some(stdio); 3];
        self
    }

    /// The user that workers become, without supplementary groups. (Node: `settings.uid`.)
    pub const fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// The group that workers become, without supplementary groups. (Node: `settings.gid`.)
    pub const fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// Whether workers run under the policy `SCHED_BATCH` (sched(7)), which their threads and
    /// children inherit: one that is woken does not interrupt another that runs. Where processors
    /// are scarce, that saves a tenth or more of the processor time a connection; where other
    /// programs keep them busy, a worker may wait for its turn for some milliseconds.
    pub const fn batch(mut self, batch: bool) -> Self {
        self.batch = Some(batch);
        self
    }

    /// How messages are encoded, in both directions. (Node: `settings.serialization`.)
    pub const fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = Some(encoding);
        self
    }
}

/// The settings in force: what the next worker runs. (Node: `cluster.settings`.)
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InForce {
    /// What is executed.
    pub program: Program,
    /// How messages are encoded.
    pub encoding: Encoding,
}

impl InForce {
    /// The defaults: the running image with its own arguments.
    pub fn new() -> Self {
        Self { program: Program::current(), encoding: Encoding::default() }
    }

    /// The same with changes.
    pub fn with(&self, changes: &Settings) -> Self {
        let mut program = self.program.clone();
        if let Some(exec) = &changes.exec {
            program.argv0 = exec.clone().into();
            program.exec.clone_from(exec);
            program.args.clear();
        }
        if let Some(args) = &changes.args {
            program.args.clone_from(args);
        }
        program.cwd = changes.cwd.clone().or(program.cwd);
        program.env.extend(changes.env.iter().cloned());
        for (stdio, change) in program.stdio.iter_mut().zip(changes.stdio) {
            *stdio = change.unwrap_or(*stdio);
        }
        program.uid = changes.uid.or(program.uid);
        program.gid = changes.gid.or(program.gid);
        program.batch = changes.batch.unwrap_or(program.batch);
        Self { program, encoding: changes.encoding.unwrap_or(self.encoding) }
    }
}

impl Default for InForce {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mentioned_stays() {
        let first = InForce::new().with(&Settings::new().exec("/bin/a").args(["x"]).uid(1));
        assert_eq!((first.program.uid, first.program.args.len()), (Some(1), 1));
        let second = first.with(&Settings::new().silent(true).env("A", "1"));
        assert_eq!(second.program.exec, PathBuf::from("/bin/a"));
        assert_eq!(second.program.stdio, [Stdio::Piped; 3]);
        let third = second.with(&Settings::new().stdout(Stdio::Null).env_remove("A"));
        assert_eq!(third.program.stdio, [Stdio::Piped, Stdio::Null, Stdio::Piped]);
        let env = [("A".into(), Some("1".into())), ("A".into(), None)];
        assert_eq!(third.program.env, env, "later changes are behind earlier ones");
        assert_eq!(third.with(&Settings::new()), third);
    }

    #[test]
    fn another_program_has_no_arguments_of_the_first() {
        let first = InForce::new().with(&Settings::new().exec("/bin/a").args(["x"]));
        assert!(first.with(&Settings::new().exec("/bin/b")).program.args.is_empty());
    }
}
