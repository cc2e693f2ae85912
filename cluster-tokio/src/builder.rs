//! How a cluster is set up.

use std::io;
use std::time::Duration;

use cluster_sys::{
    Config, ConfigError, InForce, Overload, PrimaryHost, Schedule, Settings, UnknownSchedule,
    default_budget, random_seed, schedule_from_environment,
};

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
    settings: InForce,
    schedule: Option<Schedule>,
    kill_after: Option<Duration>,
    window: usize,
    waiting: usize,
    budget: usize,
    slow_start: Duration,
    overload: Overload,
    eager: bool,
}

impl Builder {
    /// The default settings.
    pub fn new() -> Self {
        let config = Config::default();
        Self {
            settings: InForce::new(),
            schedule: None,
            kill_after: None,
            window: config.window(),
            waiting: config.waiting(),
            budget: default_budget(),
            slow_start: config.slow_start(),
            overload: config.overload(),
            eager: false,
        }
    }

    /// Who gets the next connection. Without this, the environment says
    /// (`CLUSTER_SCHED_POLICY` or, as in Node, `NODE_CLUSTER_SCHED_POLICY`: `rr`, `none` or
    /// another of the names that [`Schedule`] is parsed from), or it is [`Schedule::RoundRobin`].
    /// [`Cluster::set_schedule`] changes it later. (Node: `cluster.schedulingPolicy`.)
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// What workers run, and how; what is not mentioned stays as it is. (Node:
    /// `cluster.setupPrimary(settings)`.)
    pub fn settings(mut self, changes: &Settings) -> Self {
        self.settings = self.settings.with(changes);
        self
    }

    /// How long a worker that was asked to leave may take to end before it is killed, unless
    /// the request says otherwise. Without it, there is no limit, as in Node.
    pub fn kill_after(mut self, patience: Duration) -> Self {
        self.kill_after = Some(patience);
        self
    }

    /// How many connections a worker may have been handed and not yet accepted; between 1 and
    /// 1,024. A worker that is blocked holds up so many at most, and where others have room, for
    /// two tenths of a second. (In Node, it is one for each listener, until it goes on.)
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

    /// How many connections the primary answers for, those that wait and those that workers were
    /// handed and have not accepted together, before accepting pauses; at least 1. Further ones
    /// wait in the kernel. Without this, it is a quarter of what `RLIMIT_NOFILE` allows the process
    /// to have open, and at most 1,024. Each cluster of a process has a budget of its own.
    pub fn budget(mut self, connections: usize) -> Self {
        self.budget = connections;
        self
    }

    /// How long a worker that begins to listen gets less than its share of connections, growing
    /// with time, so that it can warm up. Without this, it gets its share at once. Workers that
    /// accept for themselves ([`Schedule::None`], [`Schedule::Sharded`]) and peers that stick to
    /// their worker ([`Schedule::Sticky`]) know of no slow start.
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time;
        self
    }

    /// What becomes of new connections when no worker has room and as many wait as may. Without
    /// this, accepting pauses.
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
    }

    /// Has the primary interrupt others for each connection, however fast they come.
    ///
    /// Without this, the thread that drives a primary with more than some 3,000 connections a
    /// second runs under `SCHED_BATCH` (sched(7)) until there are fewer than half as many: where
    /// processors are scarce, it waits its turn and accepts several connections at a time, which
    /// takes about a third less of processor time a connection, and lets some wait for a few
    /// milliseconds when other programs keep all processors busy. A processor that is free it gets
    /// at once all the same. Workers do not inherit this; threads that it starts meanwhile do.
    pub fn eager(mut self) -> Self {
        self.eager = true;
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
        let schedule = match self.schedule {
            Some(schedule) => schedule,
            None => schedule_from_environment()?.unwrap_or_default(),
        };
        let config = Config::new(schedule, self.waiting, self.window)?
            .with_budget(self.budget)?
            .with_slow_start(self.slow_start)
            .with_overload(self.overload)
            .with_seed(random_seed());
        let mut host = PrimaryHost::new(config, self.settings)?;
        if self.eager {
            host.set_eager();
        }
        let (orders, room) = driver::start_primary(host)?;
        Ok(Cluster::new(orders, room, self.kill_after))
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
    /// The environment asks for a schedule that there is not.
    #[error(transparent)]
    Schedule(#[from] UnknownSchedule),
    /// No tokio runtime runs here.
    #[error("a cluster runs on a tokio runtime, and none runs here")]
    NoRuntime,
    /// The operating system refused.
    #[error("cannot set up the cluster")]
    Io(#[from] io::Error),
}
