//! One test: its limit of time, what it has seen, and the processes that it must not leave.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::Stage;
use crate::provider;
use crate::provider::FIXTURE;
use crate::provider::cluster::{Builder, Cluster, Role, Schedule, Settings, role};

/// Runs a scenario to its end. It fails, with what it has seen, if it panics, takes too long, or
/// leaves a process.
pub(crate) fn run<F: Future<Output = ()>>(
    schedule: Schedule,
    scenario: impl FnOnce(Scene) -> F + Send + 'static,
) {
    run_by(schedule, move |scene| provider::run(scenario(scene)));
}

/// Like [`run`], on a runtime of the scenario's own.
pub(crate) fn run_by(schedule: Schedule, scenario: impl FnOnce(Scene) + Send + 'static) {
    let record = Arc::new(Record::default());
    let scene = Scene { schedule, record: record.clone() };
    let (done, ended) = channel::<()>();
    let body = thread::spawn(move || {
        let _done = done;
        scenario(scene);
    });
    if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
        let left = record.end_all();
        panic!("not done after {LIMIT:?}, {left} processes left; seen so far:\n{}", record.seen());
    }
    let outcome = body.join();
    let left = record.end_all();
    if let Err(panic) = outcome {
        eprintln!("seen so far:\n{}", record.seen());
        resume_unwind(panic);
    }
    assert_eq!(left, 0, "processes left; seen:\n{}", record.seen());
}

/// A test under way.
#[derive(Clone)]
pub(crate) struct Scene {
    schedule: Schedule,
    record: Arc<Record>,
}

impl Scene {
    /// Settings of a cluster whose workers are fixtures.
    pub(crate) fn builder(&self) -> Builder {
        match role() {
            Ok(Role::Primary(builder)) => {
                builder.schedule(self.schedule).settings(&Settings::new().exec(FIXTURE))
            }
            other => panic!("a test is a primary: {other:?}"),
        }
    }

    /// A cluster whose workers are fixtures.
    pub(crate) fn stage(&self) -> Stage {
        self.stage_of(self.builder())
    }

    /// The same with other settings.
    pub(crate) fn stage_with(&self, settings: Settings) -> Stage {
        self.stage_of(self.builder().settings(&settings))
    }

    /// A cluster with settings of its own.
    pub(crate) fn stage_of(&self, builder: Builder) -> Stage {
        self.stage_for(builder.start().expect("the settings are good"))
    }

    /// A cluster that has been started.
    pub(crate) fn stage_for(&self, cluster: Cluster) -> Stage {
        Stage::new(cluster, self.record.clone())
    }
}

/// What a test has seen and started.
#[derive(Default)]
pub(crate) struct Record {
    lines: Mutex<Vec<String>>,
    alive: Mutex<BTreeSet<u32>>,
}

impl Record {
    pub(crate) fn saw(&self, line: &str) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }

    pub(crate) fn started(&self, pid: u32) {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    }

    pub(crate) fn ended(&self, pid: u32) {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    fn seen(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Kills what has not ended; says how many processes that are.
    fn end_all(&self) -> usize {
        let alive = std::mem::take(&mut *self.alive.lock().unwrap_or_else(PoisonError::into_inner));
        for pid in &alive {
            let pid = i32::try_from(*pid).expect("the system's numbers are small");
            // It may have ended by itself since.
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
        alive.len()
    }
}

/// No synchronisation: a test that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(60);
