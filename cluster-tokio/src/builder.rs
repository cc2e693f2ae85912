//! How a cluster is set up.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cluster_sys::spawn::Program;
use cluster_sys::{Config, ConfigError, Encoding, PrimaryHost, Schedule};

use crate::cluster::Cluster;
use crate::driver;

/// Settings of a cluster, and the way to start it.
///
/// By default workers run the image that this process runs (`/proc/self/exe`, so that an
/// upgrade on disk never mixes versions by accident) with its arguments, environment, working
/// directory and stdio, and connections go to them in turn.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    program: Program,
    schedule: Schedule,
    encoding: Encoding,
    kill_after: Option<Duration>,
    window: usize,
    waiting: usize,
}

impl Builder {
    /// The default settings.
    pub fn new() -> Self {
        let config = Config::default();
        Self {
            program: Program::current(),
            schedule: config.schedule(),
            encoding: Encoding::default(),
            kill_after: None,
            window: config.window(),
            waiting: config.waiting(),
        }
    }

    /// Who gets the next connection. (Node: `cluster.schedulingPolicy`.)
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Workers run this program, without arguments unless [`args`](Self::args) follow. A name
    /// without a slash is looked for in `PATH`. (Node: `settings.exec`.)
    pub fn exec(mut self, program: impl Into<PathBuf>) -> Self {
        let Program { cwd, env, stdio, uid, gid, .. } = self.program;
        self.program = Program { cwd, env, stdio, uid, gid, ..Program::new(program) };
        self
    }

    /// The arguments of workers, instead of this process's own. (Node: `settings.args`.)
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.program.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// The working directory of workers. (Node: `settings.cwd`.)
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.program.cwd = Some(directory.into());
        self
    }

    /// Sets an environment variable of workers, over what this process has when they start.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.program.env.push((name.as_ref().to_owned(), value));
        self
    }

    /// Removes an environment variable of workers.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.program.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// How messages are encoded, in both directions. (Node: `settings.serialization`.)
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// How long a worker that was asked to leave may take to end before it is killed, unless
    /// the request says otherwise. Without it, there is no limit, as in Node.
    pub fn kill_after(mut self, patience: Duration) -> Self {
        self.kill_after = Some(patience);
        self
    }

    /// How many connections a worker may have been handed and not yet accepted; between 1 and
    /// 1,024. A worker that is blocked holds up so many at most. (In Node, it is one for each
    /// listener.)
    pub fn window(mut self, connections: usize) -> Self {
        self.window = connections;
        self
    }

    /// How many accepted connections of one listener wait in the primary while no worker has
    /// room; at least 1. Further ones wait in the kernel. (In Node, it has no limit.)
    pub fn waiting(mut self, connections: usize) -> Self {
        self.waiting = connections;
        self
    }

    /// Starts the cluster, which has no workers yet.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense, no tokio runtime runs here, or the operating system has no
    /// more descriptors.
    pub fn start(self) -> Result<Cluster, StartError> {
        tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let config = Config::new(self.schedule, self.waiting, self.window)?;
        let host = PrimaryHost::new(config, self.program, self.encoding)?;
        let (orders, room) = driver::start_primary(host)?;
        Ok(Cluster::new(orders, room, self.encoding, self.kill_after))
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// A cluster could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No tokio runtime runs here.
    #[error("a cluster runs on a tokio runtime, and none runs here")]
    NoRuntime,
    /// The operating system refused.
    #[error("cannot set up the cluster")]
    Io(#[from] io::Error),
}
