//! One test: its limit of time, what it has seen, and the processes that it must not leave.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cluster_tests::script::{End, Step, Task};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Stranger;
use super::outside::Outside;
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
    let scene = Scene { schedule, host: own_host(), record: record.clone() };
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
    pub(crate) schedule: Schedule,
    host: Ipv4Addr,
    pub(super) record: Arc<Record>,
}

impl Scene {
    /// Any free port of a host that no other test uses: a port that was freed stays free, and no
    /// client's own port can be in the way.
    pub(crate) fn anywhere(&self) -> String {
        format!("{}:0", self.host)
    }

    /// Something else that listens.
    pub(crate) fn stranger(&self) -> Stranger {
        Stranger::new(&self.anywhere())
    }

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

    /// A fixture primary, whose command is changed before it is started.
    pub(crate) fn primary(
        &self,
        workers: Vec<Vec<Step>>,
        end: End,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Outside {
        let policy = match self.schedule {
            Schedule::RoundRobin => "rr",
            _ => "none",
        };
        let task = Task::Primary { workers, end };
        Outside::start(&task, |command| change(command.env("CLUSTER_SCHED_POLICY", policy)))
    }

    /// A cluster that has been started.
    pub(crate) fn stage_for(&self, cluster: Cluster) -> Stage {
        Stage::new(cluster, self.clone())
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
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Who asks until the answer is right gets many wrong ones.
        if lines.last().is_none_or(|last| last != line) {
            lines.push(line.to_owned());
        }
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

/// A host for one test, another one than the tests have that run beside it.
fn own_host() -> Ipv4Addr {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let digit = |number: u32| u8::try_from(1 + number % 250).expect("less than 256");
    let (process, test) = (std::process::id(), TESTS.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::new(127, digit(process), digit(process / 250), digit(test))
}

/// No synchronisation: a test that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(60);
