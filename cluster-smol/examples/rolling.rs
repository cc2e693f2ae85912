//! A deploy without downtime: on `SIGHUP` all workers are replaced, one after the other.
//!
//! ```text
//! cargo build -p cluster-smol --example rolling
//! target/debug/examples/rolling [ADDRESS [SECONDS]]
//! kill -HUP <the primary>
//! ```
//!
//! For each worker a new one is started. When that listens, the old one is asked to leave, and
//! when that is gone, it is the next one's turn. So there are always workers that listen, and
//! never more than one too many. A new one that dies, or does not listen within the limit (10
//! seconds), aborts the rollout, and all workers that still run stay: a broken deploy does not
//! take the service down. Mend it, and send the signal again.
//!
//! Why it is done so: nothing but the event `listening` says that a worker is ready; after a
//! fixed time, a slow one is not, and a fast one has waited for nothing. The limit is there to
//! give up, not to go on.
//!
//! By default a cluster forks the image that runs, whatever has become of its file. Here
//! workers run the program by the name by which it was called, so that the file (or the
//! symbolic link) there may be replaced by a new version. The primary stays as it is.

#[path = "serving/listener.rs"]
mod listener;

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::process;
use std::str::FromStr;
use std::time::Duration;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{
    Builder, Cluster, Event, Events, Role, Settings, Signal, ThisWorker, Worker, WorkerState,
};
use hyper::Response;
use smol::future::{or, pending};
use smol::stream::StreamExt;
use smol::{Task, Timer};

use listener::answer_all;

fn main() -> Result<(), Failure> {
    let address = argument(1, "127.0.0.1:8000".to_owned())?;
    let limit = Duration::try_from_secs_f64(argument(2, 10.0)?)?;
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => supervise(builder, limit).await,
            Role::Worker(worker) => serve(worker, &address).await,
        }
    }))
}

/// Keeps the workers running, and replaces them when it is told to.
async fn supervise(builder: Builder, limit: Duration) -> Result<(), Failure> {
    let mut signals = Signals::new([Asked::Hup, Asked::Term])?;
    let cluster = builder.settings(&by_name()?).start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    let mut rollout = None;
    loop {
        let event = match first(&mut signals, &mut rollout, &mut events).await {
            First::Hangup if rollout.is_some() => {
                println!("rollout goes on");
                continue;
            }
            First::Hangup => {
                rollout = Some(smol::spawn(replace_all(cluster.clone(), limit)));
                continue;
            }
            First::Rolled(result) => {
                rollout = None;
                match result {
                    Ok(()) => println!("rollout done"),
                    Err(failure) => println!("rollout aborted: {failure}"),
                }
                continue;
            }
            First::Event(event) => event,
            First::End => break,
        };
        println!("{event}");
        match event {
            Event::Listening { worker, .. } => drop(listening.insert(worker)),
            // One that never listened is not replaced: the next one would not listen either.
            Event::Exit { worker, exited_after_disconnect, .. } => {
                if listening.remove(&worker) && !exited_after_disconnect {
                    cluster.fork().await?;
                } else if listening.is_empty() {
                    return Err("no worker listens".into());
                }
            }
            _ => {}
        }
    }
    if let Some(rollout) = rollout {
        rollout.cancel().await;
    }
    end(cluster, events).await
}

/// This program, by the name by which it was called.
fn by_name() -> Result<Settings, Failure> {
    let mut own = env::args_os();
    let name = own.next().ok_or("this program has no name")?;
    Ok(Settings::new().exec(name).args(own))
}

/// What came first.
enum First {
    Hangup,
    Rolled(Result<(), Failure>),
    Event(Event),
    End,
}

async fn first(
    signals: &mut Signals,
    rollout: &mut Option<Task<Result<(), Failure>>>,
    events: &mut Events,
) -> First {
    let signal = async {
        match signals.next().await {
            Some(Ok(Asked::Hup)) => First::Hangup,
            _ => First::End,
        }
    };
    let rolled = async {
        match rollout {
            Some(rollout) => First::Rolled(rollout.await),
            None => pending().await,
        }
    };
    let event = async { events.next().await.map_or(First::End, First::Event) };
    or(signal, or(rolled, event)).await
}

/// Replaces each worker that there is now.
async fn replace_all(cluster: Cluster, limit: Duration) -> Result<(), Failure> {
    for old in cluster.workers().await? {
        if old.state() >= WorkerState::Draining {
            continue;
        }
        let new = start_one(&cluster, limit).await?;
        // One that has died meanwhile was replaced at once: now there is one too many.
        let surplus = if old.is_dead() { new } else { old };
        surplus.disconnect_within(PATIENCE);
        surplus.exited().await?;
    }
    Ok(())
}

/// Starts a worker, which listens when this returns.
async fn start_one(cluster: &Cluster, limit: Duration) -> Result<Worker, Failure> {
    // These are asked for before the fork, and so nothing is missed.
    let mut events = cluster.events();
    let worker = cluster.fork().await?;
    let id = worker.id();
    let listens = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Listening { worker, .. } if worker == id => return Ok(()),
                Event::Exit { worker, status, .. } if worker == id => {
                    return Err(format!("worker {id} did not listen, but ended: {status}"));
                }
                _ => {}
            }
        }
        Err("the cluster has ended".to_owned())
    };
    let too_late = async {
        Timer::after(limit).await;
        worker.kill(Signal::KILL);
        Err(format!("worker {id} did not listen within {limit:?}"))
    };
    or(listens, too_late).await?;
    Ok(worker)
}

/// Lets all workers leave. When the last one is gone, and nobody could fork, the events end.
async fn end(cluster: Cluster, mut events: Events) -> Result<(), Failure> {
    cluster.disconnect_within(PATIENCE).await?;
    drop(cluster);
    while let Some(event) = events.next().await {
        println!("{event}");
    }
    Ok(())
}

async fn serve(worker: ThisWorker, address: &str) -> Result<(), Failure> {
    // systemd sends SIGTERM to all processes of a service; workers leave when the primary says so.
    let _ignored = Signals::new([Asked::Term])?;
    let listener = worker.listen(address).await?;
    let name = format!("worker {} pid {}\n", worker.id(), process::id());
    let answer = async move |_| Response::new(name.into());
    answer_all(listener, worker.disconnecting(), answer).await;
    worker.disconnected().await;
    Ok(())
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

/// How many workers there are: in a server of one's own, one a processor.
const WORKERS: usize = 4;

/// How long a worker that is asked to leave may finish what it has begun.
const PATIENCE: Duration = Duration::from_secs(30);
