//! A worker pool without any server: jobs go to processes, one at a time each, and results
//! come back.
//!
//! ```text
//! cargo run --release -p cluster-smol --example pool -- [LIMIT [CRASH_EVERY [CRASH_ALWAYS]]]
//! ```
//!
//! This counts the primes below LIMIT (10 million: 664579), in 100 jobs. With CRASH_EVERY=10,
//! every tenth job crashes the worker that does it for the first time: a new worker is started,
//! the job is done again, and the sum is the same. The job with the number CRASH_ALWAYS crashes
//! whoever does it, and after a few attempts it is given up, before it crashes them for ever.
//!
//! Why it is done so: a process can do what a thread cannot be trusted with (a library that
//! crashes, leaks, or takes down the process), and it can be killed at any time. The primary
//! notes who does which job before it sends it, and when a worker's channel has ended, the job
//! is free again: all results that the worker sent came before that.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::error::Error;
use std::ops::Range;
use std::process;
use std::str::FromStr;
use std::thread::available_parallelism;

use cluster_smol::{
    Builder, Cluster, Event, Events, Role, SendError, ThisWorker, TrySendError, WorkerId,
};
use serde::{Deserialize, Serialize};
use smol::unblock;

/// Numbers among which the primes are to be counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    number: u64,
    range: Range<u64>,
    attempt: u32,
}

/// How many primes there are in the job's range.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    primes: u64,
}

fn main() -> Result<(), Failure> {
    let limit = argument(1, 10_000_000)?;
    let crash_every = argument(2, 0)?;
    let crash_always = argument(3, JOBS)?;
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => count(builder, limit).await,
            Role::Worker(worker) => {
                let crashes = |Job { number, attempt, .. }: &Job| {
                    let first = *attempt == 1 && crash_every != 0;
                    first && number.is_multiple_of(crash_every) || *number == crash_always
                };
                work(worker, crashes).await
            }
        }
    }))
}

/// Has all jobs done, and prints the sum.
async fn count(builder: Builder, limit: u64) -> Result<(), Failure> {
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..available_parallelism()?.get() {
        cluster.fork().await?;
    }
    let mut jobs = Jobs::new(limit);
    let result = distribute(&mut jobs, &cluster, &mut events).await;
    // When the last one is gone, and nobody could fork, the events end.
    cluster.disconnect().await?;
    drop(cluster);
    while let Some(event) = events.next().await {
        println!("{event}");
    }
    result?;
    println!("total {}", jobs.primes);
    Ok(())
}

/// Gives whoever is idle the next job, until all are done.
async fn distribute(
    jobs: &mut Jobs,
    cluster: &Cluster,
    events: &mut Events,
) -> Result<(), Failure> {
    while !jobs.are_done() {
        let Some(event) = events.next().await else { return Err("the cluster has ended".into()) };
        if let Event::Message { worker, message } = event {
            jobs.done(worker, &message.decode()?);
            jobs.give(cluster, worker).await?;
            continue;
        }
        println!("{event}");
        match event {
            Event::Online { worker } => jobs.give(cluster, worker).await?,
            Event::Disconnect { worker, .. } => {
                if jobs.take_back(worker)? {
                    cluster.fork().await?;
                } else if cluster.workers().await?.is_empty() {
                    return Err("no worker is left".into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is to do, what is being done, and the result so far.
struct Jobs {
    waiting: VecDeque<Job>,
    under_way: HashMap<WorkerId, Job>,
    primes: u64,
}

impl Jobs {
    fn new(limit: u64) -> Self {
        let bound = |number| limit * number / JOBS;
        let job = |number| Job { number, range: bound(number)..bound(number + 1), attempt: 1 };
        Self { waiting: (0..JOBS).map(job).collect(), under_way: HashMap::new(), primes: 0 }
    }

    fn are_done(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Gives a worker that has nothing to do the next job, if there is one.
    async fn give(&mut self, cluster: &Cluster, id: WorkerId) -> Result<(), Failure> {
        // One that has died will be heard of, and has no job.
        let Some(worker) = cluster.worker(id).await? else { return Ok(()) };
        let Some(job) = self.waiting.pop_front() else { return Ok(()) };
        let sent = worker.try_send(&job);
        // If it was not sent, the worker is disconnected, and that brings the job back.
        self.under_way.insert(id, job);
        match sent {
            Ok(()) | Err(TrySendError::Send(SendError::Disconnected)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn done(&mut self, worker: WorkerId, done: &Done) {
        if self.under_way.remove(&worker).is_some() {
            self.primes += done.primes;
        }
    }

    /// Takes back what a worker has left undone; says whether there was something.
    fn take_back(&mut self, worker: WorkerId) -> Result<bool, Failure> {
        let Some(mut job) = self.under_way.remove(&worker) else { return Ok(false) };
        println!("job {} of worker {worker} failed, attempt {}", job.number, job.attempt);
        if job.attempt == ATTEMPTS_MAX {
            return Err(format!("job {} is given up", job.number).into());
        }
        job.attempt += 1;
        self.waiting.push_back(job);
        Ok(true)
    }
}

/// Does one job after the other.
async fn work(worker: ThisWorker, crashes: impl Fn(&Job) -> bool) -> Result<(), Failure> {
    while let Some(message) = worker.recv().await {
        let job: Job = message.decode()?;
        if crashes(&job) {
            // A library with a fault, say.
            process::exit(70);
        }
        let range = job.range;
        // Beside the runtime, which would otherwise notice nothing for so long.
        let primes = unblock(move || range.filter(|&it| is_prime(it)).count()).await;
        worker.send(&Done { primes: primes.try_into()? }).await?;
    }
    Ok(())
}

fn is_prime(number: u64) -> bool {
    let divides = |divisor: u64| number.is_multiple_of(divisor);
    number >= 2 && !(2..).take_while(|divisor| divisor * divisor <= number).any(divides)
}

/// The argument at this place, or what is usual.
fn argument<T>(place: usize, usual: T) -> Result<T, Failure>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    env::args().nth(place).map_or(Ok(usual), |text| Ok(text.parse()?))
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// Into how many jobs the work is divided.
const JOBS: u64 = 100;

/// How often a job is tried.
const ATTEMPTS_MAX: u32 = 3;
