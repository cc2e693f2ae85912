//! A watchdog: a worker that runs but does not react is killed and replaced.
//!
//! ```text
//! cargo run -p cluster-smol --example watchdog -- [ADDRESS] [OPTIONS]
//! curl http://127.0.0.1:8000/block      (blocks the worker that gets it, for ever)
//! curl http://127.0.0.1:8000/           (the others answer)
//! ```
//!
//! The primary sends each worker that listens a ping every second, and kills one that leaves
//! five in a row unanswered. The answer comes from the executor that also serves, so it says
//! more than a heartbeat of a thread of its own could: a handler that never yields stops it (or
//! as many as there are threads, if `SMOL_THREADS` asks for several). `SIGKILL` it is, because
//! nothing that needs the worker's help would help. Connections that the blocked worker has not
//! taken go to the others.
//!
//! Why it is done so: to start takes longer than to answer, and how long depends on other
//! things (imports, caches, migrations); so a worker that starts has a budget of its own, and
//! is not pinged (`--slow 10` makes it use that up). Rounds are counted, not seconds: if the
//! primary itself was stopped for a while, nobody dies for it. All budgets are options, and are
//! printed as they are. There is at most one new worker a round, so that a program that cannot
//! start does not occupy the machine.

#[path = "serving/listener.rs"]
mod listener;

use std::collections::HashMap;
use std::error::Error;
use std::num::ParseFloatError;
use std::process;
use std::thread;
use std::time::Duration;

use async_signal::{Signal as Asked, Signals};
use clap::Parser;
use cluster_smol::{Builder, Cluster, Event, Events, Role, Signal, ThisWorker, Worker, WorkerId};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::{Deserialize, Serialize};
use smol::Timer;
use smol::future::or;
use smol::stream::StreamExt;

use listener::{Answer, answer_all};

/// A server whose workers are watched.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:8000")]
    address: String,
    /// How long a worker may take until it listens, in seconds
    #[arg(long, default_value = "30", value_parser = seconds)]
    boot: Duration,
    /// How often it is pinged from then on, in seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    every: Duration,
    /// How many pings in a row it may leave unanswered
    #[arg(long, default_value = "5")]
    missed: u32,
    /// How long a worker pretends to have to do before it listens, in seconds
    #[arg(long, default_value = "0", value_parser = seconds)]
    slow: Duration,
}

/// Are you there?
#[derive(Debug, Serialize, Deserialize)]
struct Ping;

/// I am.
#[derive(Debug, Serialize, Deserialize)]
struct Pong;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => supervise(builder, &options).await,
            Role::Worker(worker) => serve(worker, &options).await,
        }
    }))
}

/// Keeps the workers running, and watches them.
async fn supervise(builder: Builder, options: &Options) -> Result<(), Failure> {
    let Options { boot, every, missed, .. } = options;
    println!("budgets boot={boot:?} run={:?} ({missed} pings)", *every * *missed);
    let mut terminate = Signals::new([Asked::Term])?;
    let cluster = builder.start()?;
    let mut events = cluster.events();
    let rounds = boot.div_duration_f64(*every).ceil() as u32;
    let mut wards = Wards { boot: rounds, missed: *missed, wards: HashMap::new() };
    for _ in 0..WORKERS {
        wards.fork(&cluster).await?;
    }
    let mut round = Timer::after(Duration::ZERO);
    loop {
        match first(&mut terminate, &mut events, &mut round).await {
            First::Event(event) => {
                if !matches!(event, Event::Message { .. }) {
                    println!("{event}");
                }
                wards.hear(&event);
            }
            First::Round => {
                // From now on: rounds that were missed are not made up for.
                round.set_after(*every);
                wards.look_after();
                if wards.wards.len() < WORKERS {
                    wards.fork(&cluster).await?;
                }
            }
            First::End => break,
        }
    }
    // When the last one is gone, and nobody could fork, the events end.
    cluster.disconnect_within(options.boot).await?;
    drop((cluster, wards));
    while let Some(event) = events.next().await {
        println!("{event}");
    }
    Ok(())
}

/// What came first.
enum First {
    Event(Event),
    Round,
    End,
}

async fn first(terminate: &mut Signals, events: &mut Events, round: &mut Timer) -> First {
    let terminate = async {
        terminate.next().await;
        First::End
    };
    let event = async { events.next().await.map_or(First::End, First::Event) };
    let round = async {
        round.await;
        First::Round
    };
    // Answers that are here already count before it is asked who has not answered.
    or(terminate, or(event, round)).await
}

/// The workers that are watched.
struct Wards {
    /// So many rounds.
    boot: u32,
    missed: u32,
    wards: HashMap<WorkerId, (Worker, Watch)>,
}

/// What is expected of a worker.
enum Watch {
    /// That it listens; it has so many rounds left.
    Booting { left: u32 },
    /// That it answers; so many pings it has not.
    Running { unanswered: u32 },
    /// Nothing any more: it leaves, or was killed.
    Ending,
}

impl Wards {
    async fn fork(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        let worker = cluster.fork().await?;
        let watch = Watch::Booting { left: self.boot };
        self.wards.insert(worker.id(), (worker, watch));
        Ok(())
    }

    fn hear(&mut self, event: &Event) {
        let Some(id) = event.worker() else { return };
        let Some((_, watch)) = self.wards.get_mut(&id) else { return };
        match (event, &watch) {
            (Event::Listening { .. }, Watch::Booting { .. })
            | (Event::Message { .. }, Watch::Running { .. }) => {
                *watch = Watch::Running { unanswered: 0 };
            }
            (Event::Draining { .. }, _) => *watch = Watch::Ending,
            (Event::Exit { .. }, _) => drop(self.wards.remove(&id)),
            _ => {}
        }
    }

    /// Kills those whose budget is used up, and pings the others.
    fn look_after(&mut self) {
        for (worker, watch) in self.wards.values_mut() {
            let id = worker.id();
            match watch {
                Watch::Booting { left: 0 } => {
                    println!("worker {id} does not listen ({} rounds)", self.boot);
                }
                Watch::Booting { left } => {
                    *left -= 1;
                    continue;
                }
                Watch::Running { unanswered } if *unanswered >= self.missed => {
                    println!("worker {id} does not answer ({unanswered} pings)");
                }
                Watch::Running { unanswered } => {
                    *unanswered += 1;
                    // This does not wait: one that does not read is just as bad as one that
                    // does not answer, and one that has just died needs no ping.
                    if let Err(error) = worker.try_send(&Ping) {
                        println!("worker {id} was not pinged: {error}");
                    }
                    continue;
                }
                Watch::Ending => continue,
            }
            worker.kill(Signal::KILL);
            *watch = Watch::Ending;
        }
    }
}

async fn serve(worker: ThisWorker, options: &Options) -> Result<(), Failure> {
    let pretended = async {
        Timer::after(options.slow).await;
        true
    };
    let leaving = async {
        worker.disconnecting().await;
        false
    };
    if !or(pretended, leaving).await {
        return Ok(());
    }
    let listener = worker.listen(&options.address).await?;
    smol::spawn(answer_pings(worker.clone())).detach();
    let id = worker.id();
    let name = format!("worker {id} pid {}\n", process::id());
    let answer = async move |request: Request<Incoming>| -> Answer {
        if request.uri().path() == "/block" {
            println!("worker {id} blocks");
            loop {
                thread::park();
            }
        }
        Response::new(name.into())
    };
    answer_all(listener, worker.disconnecting(), answer).await;
    worker.disconnected().await;
    Ok(())
}

/// On the runtime that serves.
async fn answer_pings(worker: ThisWorker) -> Result<(), Failure> {
    while let Some(message) = worker.recv().await {
        let Ping = message.decode()?;
        worker.send(&Pong).await?;
    }
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|error: ParseFloatError| error.to_string())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// How many workers there are: in a server of one's own, one a processor.
const WORKERS: usize = 4;
