//! A request counter, after the example in Node's documentation of `cluster`: the workers serve
//! HTTP and notify the primary of each request, and the primary counts them all.
//!
//! ```text
//! cargo run -p cluster-smol --example message
//! curl http://127.0.0.1:8000/        (in another terminal, as often as you like)
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::thread::available_parallelism;
use std::time::Duration;

use cluster_smol::{Builder, Event, Role, ThisWorker, Tracked};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use serde::{Deserialize, Serialize};
use smol::Timer;
use smol::future::or;
use smol::net::TcpStream;
use smol_hyper::rt::FuturesIo;

/// What a worker tells its primary.
#[derive(Debug, Serialize, Deserialize)]
enum Notice {
    Request { path: String },
}

fn main() -> Result<(), Failure> {
    smol::block_on(smol::spawn(async {
        match cluster_smol::role()? {
            Role::Primary(builder) => count(builder).await,
            Role::Worker(worker) => serve(worker).await,
        }
    }))
}

/// Counts requests, and prints their number every second in which there were new ones.
async fn count(builder: Builder) -> Result<(), Failure> {
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..available_parallelism()?.get() {
        cluster.fork().await?;
    }
    let (mut requests, mut printed) = (0_u64, 0);
    let mut second = Timer::interval(Duration::from_secs(1));
    loop {
        let tick = async {
            (&mut second).await;
            None
        };
        match or(tick, async { Some(events.next().await) }).await {
            None if requests > printed => {
                println!("{requests} requests");
                printed = requests;
            }
            None => {}
            Some(Some(Event::Message { message, .. })) => {
                let Notice::Request { path: _ } = message.decode()?;
                requests += 1;
            }
            Some(Some(event)) => println!("{event}"),
            Some(None) => return Ok(()),
        }
    }
}

/// Answers requests, and tells the primary of each.
async fn serve(worker: ThisWorker) -> Result<(), Failure> {
    let listener = worker.listen("127.0.0.1:8000").await?;
    // When the worker leaves, the listener is closed.
    while let Ok((stream, _)) = listener.accept_tracked().await {
        smol::spawn(answer(stream, worker.clone())).detach();
    }
    // It has left when the last stream is finished.
    worker.disconnected().await;
    Ok(())
}

/// Answers the requests of a connection, until it ends or the worker leaves.
async fn answer(stream: Tracked<TcpStream>, worker: ThisWorker) {
    let service = service_fn(async |request: Request<Incoming>| {
        let notice = Notice::Request { path: request.uri().path().to_owned() };
        let text = match worker.send(&notice).await {
            Ok(()) => format!("hello from worker {}\n", worker.id()),
            Err(error) => format!("hello, though nobody counts: {error}\n"),
        };
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), service);
    let mut connection = pin!(connection);
    let leaving = async {
        worker.disconnecting().await;
        None
    };
    if or(async { Some(connection.as_mut().await) }, leaving).await.is_none() {
        connection.as_mut().graceful_shutdown();
        // What fails now is the client's affair.
        connection.await.unwrap_or_default();
    }
}

/// What this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;
