//! Spawning: how long it takes until a worker is there.
//!
//! ```text
//! cargo run --release -p cluster-smol --example spawning -- [COUNT]
//! ```
//!
//! Starts one worker after another, and prints for each how many milliseconds after `fork` it
//! was online, and how many after `fork` it listened.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use cluster_smol::{Builder, Cluster, Event, Role, ThisWorker};

fn main() -> Result<(), Failure> {
    let count = env::args().nth(1).map_or(Ok(COUNT), |count| count.parse())?;
    // In a task of the executor whose tasks the cluster's are, they do not wake other threads.
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => measure(builder, count).await,
            Role::Worker(worker) => listen(worker).await,
        }
    }))
}

async fn measure(builder: Builder, count: u32) -> Result<(), Failure> {
    let cluster = builder.start()?;
    for _ in 0..count {
        let Birth { online, listening } = birth(&cluster).await?;
        println!("online: {:.3}", milliseconds(online));
        println!("listening: {:.3}", milliseconds(listening));
    }
    cluster.disconnect().await?;
    Ok(())
}

/// How long after the fork.
struct Birth {
    online: Duration,
    listening: Duration,
}

/// The birth of a worker, which then leaves.
async fn birth(cluster: &Cluster) -> Result<Birth, Failure> {
    let forked = Instant::now();
    let worker = cluster.fork().await?;
    let mut events = worker.events();
    let mut online = None;
    let birth = loop {
        match (events.next().await, online) {
            (Some(Event::Online { .. }), _) => online = Some(forked.elapsed()),
            (Some(Event::Listening { .. }), Some(online)) => {
                break Birth { online, listening: forked.elapsed() };
            }
            (Some(Event::Exit { .. }) | None, _) => return Err("the worker has ended".into()),
            _ => {}
        }
    };
    worker.disconnect();
    worker.exited().await?;
    Ok(birth)
}

async fn listen(worker: ThisWorker) -> Result<(), Failure> {
    let _listener = worker.listen("127.0.0.1:0").await?;
    worker.disconnected().await;
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// How many workers are started.
const COUNT: u32 = 20;
