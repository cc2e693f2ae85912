//! Traffic: how fast messages travel between a primary and a worker.
//!
//! ```text
//! cargo run --release -p cluster-tokio --example traffic -- [COUNT]
//! ```
//!
//! Prints a line a measurement: round trips in microseconds each, one after another, and then
//! messages a second when as many as possible go one way, out to the worker and in from it. All
//! of it once more with a handle on each message, with fewer messages.
//!
//! Why it is done so: `feed` queues a message and goes on, and waits when too much is queued, so
//! many messages are written at a time; `send` would wait for each to be written.

use std::env;
use std::error::Error;
use std::fs::File;
use std::time::{Duration, Instant};

use cluster_tokio::{Builder, Event, Events, Handle, Message, Role, ThisWorker, Worker};
use serde::{Deserialize, Serialize};

/// What is said in both directions.
#[derive(Debug, Serialize, Deserialize)]
enum Parcel {
    /// To be sent back, with its handle if it has one.
    Echo,
    /// One of many.
    Load(u64),
    /// Asks for so many.
    Order { count: u64, with_handles: bool },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let count = env::args().nth(1).map_or(Ok(COUNT), |count| count.parse())?;
    match cluster_tokio::role()? {
        Role::Primary(builder) => measure(builder, count).await,
        Role::Worker(worker) => obey(worker).await,
    }
}

async fn measure(builder: Builder, count: u64) -> Result<(), Failure> {
    let cluster = builder.start()?;
    let worker = cluster.fork().await?;
    let mut line = Line { events: worker.events(), worker };
    let (trips, handles) = (count / FEWER, count / FEWER);
    // What is done for the first time takes longer.
    line.round_trips(trips / FEWER, false).await?;
    print("round trip", each(line.round_trips(trips, false).await?, trips));
    print("round trip with handle", each(line.round_trips(handles, true).await?, handles));
    print("out", rate(line.out(count, false).await?, count));
    print("in", rate(line.back(count, false).await?, count));
    print("out with handles", rate(line.out(handles, true).await?, handles));
    print("in with handles", rate(line.back(handles, true).await?, handles));
    cluster.disconnect().await?;
    Ok(())
}

/// The primary's end of the way to the worker and back.
struct Line {
    worker: Worker,
    events: Events,
}

impl Line {
    async fn round_trips(&mut self, count: u64, with_handle: bool) -> Result<Duration, Failure> {
        let file = File::open(FILE)?;
        let started = Instant::now();
        for _ in 0..count {
            if with_handle {
                self.worker.send_handle(&Parcel::Echo, Handle::copy_of(&file)?).await?;
            } else {
                self.worker.feed(&Parcel::Echo).await?;
            }
            let answer = self.message().await?;
            if with_handle && Handle::take_from(&answer)?.is_none() {
                return Err("the handle has not come back".into());
            }
        }
        Ok(started.elapsed())
    }

    /// Until the worker has read them all.
    async fn out(&mut self, count: u64, with_handles: bool) -> Result<Duration, Failure> {
        let file = File::open(FILE)?;
        let started = Instant::now();
        for number in 0..count {
            let load = Parcel::Load(number);
            if with_handles {
                self.worker.send_handle(&load, Handle::copy_of(&file)?).await?;
            } else {
                self.worker.feed(&load).await?;
            }
        }
        self.worker.feed(&Parcel::Echo).await?;
        self.message().await?;
        Ok(started.elapsed())
    }

    async fn back(&mut self, count: u64, with_handles: bool) -> Result<Duration, Failure> {
        let started = Instant::now();
        self.worker.feed(&Parcel::Order { count, with_handles }).await?;
        for number in 0..count {
            match self.message().await?.decode()? {
                Parcel::Load(got) if got == number => {}
                other => return Err(format!("{other:?} instead of message {number}").into()),
            }
        }
        Ok(started.elapsed())
    }

    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            match self.events.next().await {
                Some(Event::Message { message, .. }) => return Ok(message),
                Some(Event::Exit { .. }) | None => return Err("the worker has ended".into()),
                Some(_) => {}
            }
        }
    }
}

/// Does what the primary says, until it closes the channel.
async fn obey(worker: ThisWorker) -> Result<(), Failure> {
    let file = File::open(FILE)?;
    while let Some(message) = worker.recv().await {
        match message.decode()? {
            Parcel::Load(_) => {}
            Parcel::Echo => match Handle::take_from(&message)? {
                Some(handle) => worker.send_handle(&Parcel::Echo, handle).await?,
                None => worker.feed(&Parcel::Echo).await?,
            },
            Parcel::Order { count, with_handles } => {
                for number in 0..count {
                    let load = Parcel::Load(number);
                    if with_handles {
                        worker.send_handle(&load, Handle::copy_of(&file)?).await?;
                    } else {
                        worker.feed(&load).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Microseconds.
fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// A second.
fn rate(time: Duration, count: u64) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn print(what: &str, figure: f64) {
    println!("{what}: {figure:.2}");
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// How many messages go one way.
const COUNT: u64 = 1_000_000;

/// By how much fewer are those that go to and fro, and those with handles.
const FEWER: u64 = 20;

/// A file that every system has, to be handed to and fro.
const FILE: &str = "/dev/null";
