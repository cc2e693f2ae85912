//! A request counter, after the example in Node's documentation of `cluster`: the workers serve
//! HTTP and notify the primary of each request, and the primary counts them all.
//!
//! ```text
//! cargo run -p cluster-tokio --example message
//! curl http://127.0.0.1:8000/        (in another terminal, as often as you like)
//! ```

use std::error::Error;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use cluster_tokio::{Builder, Event, Role, ThisWorker};
use serde::{Deserialize, Serialize};
use tokio::time::interval;

/// What a worker tells its primary.
#[derive(Debug, Serialize, Deserialize)]
enum Notice {
    Request { path: String },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match cluster_tokio::role()? {
        Role::Primary(builder) => count(builder).await,
        Role::Worker(worker) => serve(worker).await,
    }
}

/// Counts requests, and prints their number every second in which there were new ones.
async fn count(builder: Builder) -> Result<(), Box<dyn Error>> {
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..available_parallelism()?.get() {
        cluster.fork().await?;
    }
    let (mut requests, mut printed) = (0_u64, 0);
    let mut second = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = second.tick() => {
                if requests > printed {
                    println!("{requests} requests");
                    printed = requests;
                }
            }
            event = events.next() => match event {
                Some(Event::Message { message, .. }) => {
                    let Notice::Request { path: _ } = message.decode()?;
                    requests += 1;
                }
                Some(event) => println!("{event}"),
                None => return Ok(()),
            },
        }
    }
}

/// Answers requests, and tells the primary of each.
async fn serve(worker: ThisWorker) -> Result<(), Box<dyn Error>> {
    let listener = worker.listen("127.0.0.1:8000").await?;
    let teller = worker.clone();
    let app = Router::new().fallback(any(move |uri: axum::http::Uri| {
        let worker = teller.clone();
        async move {
            let notice = Notice::Request { path: uri.path().to_owned() };
            match worker.send(&notice).await {
                Ok(()) => format!("hello from worker {}\n", worker.id()),
                Err(error) => format!("hello, though nobody counts: {error}\n"),
            }
        }
    }));
    axum::serve(listener, app).with_graceful_shutdown(worker.disconnecting()).await?;
    worker.disconnected().await;
    Ok(())
}
