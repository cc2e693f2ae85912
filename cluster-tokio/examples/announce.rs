//! Announcements: what is said to the primary is known to all workers at once.
//!
//! ```text
//! cargo run -p cluster-tokio --example announce -- [ADDRESS]
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

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::thread;

use axum::Router;
use axum::routing::any;
use cluster_tokio::{Builder, Event, Role, ThisWorker, Worker};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    match cluster_tokio::role()? {
        Role::Primary(builder) => supervise(builder).await,
        Role::Worker(worker) => serve(worker, &address).await,
    }
}

/// Keeps the workers running, and each one informed.
async fn supervise(builder: Builder) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let news = read_lines()?;
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    loop {
        let event = tokio::select! {
            _ = terminate.recv() => break,
            Some(event) = events.next() => event,
        };
        println!("{event}");
        match event {
            Event::Online { worker } => {
                if let Some(worker) = cluster.worker(worker).await? {
                    tokio::spawn(inform(worker, news.clone()));
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

/// Reads the standard input on a thread of its own, which ends with the process: a read that
/// waits for a terminal cannot be called off. What was said last stays when the input ends.
fn read_lines() -> io::Result<watch::Receiver<String>> {
    let (newest, news) = watch::channel(String::new());
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            newest.send_replace(line);
        }
    })?;
    Ok(news)
}

/// Tells a worker the newest line, and each time that there is a newer one, until it ends or
/// there is nothing more to come. What is not read of `news` is new to the worker.
async fn inform(worker: Worker, mut news: watch::Receiver<String>) {
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            _ = worker.exited() => return,
        }
        let line = news.borrow_and_update().clone();
        if worker.send(&line).await.is_err() {
            return;
        }
    }
}

async fn serve(worker: ThisWorker, address: &str) -> Result<(), Failure> {
    let listener = worker.listen(address).await?;
    let (newest, shown) = watch::channel(String::new());
    tokio::spawn(listen_to_news(worker.clone(), newest));
    let app = Router::new().fallback(any(async move || format!("{}\n", *shown.borrow())));
    axum::serve(listener, app).with_graceful_shutdown(worker.disconnecting()).await?;
    worker.disconnected().await;
    Ok(())
}

async fn listen_to_news(worker: ThisWorker, newest: watch::Sender<String>) -> Result<(), Failure> {
    while let Some(message) = worker.recv().await {
        let line: String = message.decode()?;
        println!("worker {} knows: {line}", worker.id());
        newest.send_replace(line);
    }
    Ok(())
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;

/// How many workers there are: in a server of one's own, one a processor.
const WORKERS: usize = 4;
