//! Announcements: what is said to the primary is known to all workers at once.
//!
//! ```text
//! cargo run -p cluster-smol --example announce -- [ADDRESS]
//! maintenance at noon                   (a line typed there)
//! curl http://127.0.0.1:8000/           (whoever answers, knows it)
//! ```
//!
//! Each line on the primary's standard input goes to all workers, which print and serve the
//! newest one. A worker that starts later is told when it is online. So it is done with
//! whatever all workers should know and one process decides: configuration, feature flags,
//! emptying a cache.
//!
//! Why it is done so: the primary keeps the newest line, and for each worker there is one task
//! that sends it and waits until that is written. A worker that is slow delays nobody, queues
//! nothing, and when it reads again it gets the newest line, not all that it has missed.

#[path = "serving/listener.rs"]
mod listener;

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Builder, Closed, Event, Events, Role, ThisWorker, Worker};
use event_listener::Event as Notify;
use hyper::Response;
use smol::future::or;
use smol::stream::StreamExt;

use listener::answer_all;

fn main() -> Result<(), Failure> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => supervise(builder).await,
            Role::Worker(worker) => serve(worker, &address).await,
        }
    }))
}

/// Keeps the workers running, and each one informed.
async fn supervise(builder: Builder) -> Result<(), Failure> {
    let mut terminate = Signals::new([Asked::Term])?;
    let news = read_lines()?;
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    while let Some(event) = next(&mut events, &mut terminate).await {
        println!("{event}");
        match event {
            Event::Online { worker } => {
                if let Some(worker) = cluster.worker(worker).await? {
                    smol::spawn(inform(worker, news.clone())).detach();
                }
            }
            Event::Listening { worker, .. } => drop(listening.insert(worker)),
            // One that never listened is not replaced: the next one would not listen either.
            Event::Exit { worker, .. } => match listening.remove(&worker) {
                true => drop(cluster.fork().await?),
                false if listening.is_empty() => return Err("no worker listens".into()),
                false => {}
            },
            _ => {}
        }
    }
    // When the last one is gone, and nobody could fork, the events end.
    cluster.disconnect().await?;
    drop(cluster);
    while let Some(event) = events.next().await {
        println!("{event}");
    }
    Ok(())
}

/// The next event; `None` when the program is asked to end.
async fn next(events: &mut Events, asked: &mut Signals) -> Option<Event> {
    let asked = async {
        asked.next().await;
        None
    };
    or(asked, events.next()).await
}

/// Reads the standard input on a thread of its own, which ends with the process: a read that
/// waits for a terminal cannot be called off. What was said last stays when the input ends.
fn read_lines() -> io::Result<Arc<News>> {
    let news = Arc::new(News::default());
    let written = news.clone();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            written.write(line);
        }
    })?;
    Ok(news)
}

/// Tells a worker the newest line, and each time that there is a newer one, until it ends. What
/// it was not told of `news` is new to the worker.
async fn inform(worker: Worker, news: Arc<News>) {
    let mut told = 0;
    loop {
        let newer = async { Some(news.newer_than(told).await) };
        let ended = async {
            match worker.exited().await {
                Ok(_) | Err(Closed) => None,
            }
        };
        let Some(line) = or(ended, newer).await else { return };
        told = line.number;
        if worker.send(&line.text).await.is_err() {
            return;
        }
    }
}

/// The newest line, and whoever waits for a newer one.
#[derive(Default)]
struct News {
    newest: Mutex<Line>,
    changed: Notify,
}

/// A line with its number: 0 is what there is before the first one.
#[derive(Clone, Default)]
struct Line {
    number: u64,
    text: String,
}

impl News {
    fn write(&self, text: String) {
        let mut newest = self.newest();
        *newest = Line { number: newest.number + 1, text };
        drop(newest);
        self.changed.notify(usize::MAX);
    }

    async fn newer_than(&self, known: u64) -> Line {
        loop {
            // Listen first, then look, then wait: what comes in between is not missed.
            let changed = self.changed.listen();
            let newest = self.newest().clone();
            if newest.number > known {
                return newest;
            }
            changed.await;
        }
    }

    /// Nobody panics in the middle of a change.
    fn newest(&self) -> MutexGuard<'_, Line> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(worker: ThisWorker, address: &str) -> Result<(), Failure> {
    let listener = worker.listen(address).await?;
    let news = Arc::new(News::default());
    smol::spawn(listen_to_news(worker.clone(), news.clone())).detach();
    let answer = async move |_| Response::new(format!("{}\n", news.newest().text).into());
    answer_all(listener, worker.disconnecting(), answer).await;
    worker.disconnected().await;
    Ok(())
}

async fn listen_to_news(worker: ThisWorker, news: Arc<News>) -> Result<(), Failure> {
    while let Some(message) = worker.recv().await {
        let line: String = message.decode()?;
        println!("worker {} knows: {line}", worker.id());
        news.write(line);
    }
    Ok(())
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// How many workers there are: in a server of one's own, one a processor.
const WORKERS: usize = 4;
