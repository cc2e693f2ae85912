//! Ending in time: a server that is asked to end finishes what it has begun, but not for ever.
//!
//! ```text
//! cargo run -p cluster-tokio --example graceful -- [ADDRESS [SECONDS]]
//! curl http://127.0.0.1:8000/work/5 &       (a request that takes five seconds)
//! curl http://127.0.0.1:8000/work/3600 &    (and one that takes too long)
//! kill -TERM <the primary>
//! ```
//!
//! With `SIGTERM` or Ctrl-C no further connection is accepted. Idle workers end at once, and
//! the one with the first request when it has answered. The one with the second request is
//! killed when the limit (10 seconds) is over, and then the primary ends, too. Whoever cannot
//! wait sends a second signal, which kills what is left.
//!
//! Why it is done so: whoever stops a service (systemd, Kubernetes, a deploy script) kills it
//! after a time of its own. A limit that is shorter than that one leaves the end in the hands
//! of the program, and what is cut is one worker's and in the log.

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::any;
use cluster_tokio::{Builder, Cluster, Event, Events, Role, Signal, ThisWorker};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let address = argument(1, "127.0.0.1:8000".to_owned())?;
    let limit = Duration::try_from_secs_f64(argument(2, 10.0)?)?;
    match cluster_tokio::role()? {
        Role::Primary(builder) => supervise(builder, limit).await,
        Role::Worker(worker) => serve(worker, &address).await,
    }
}

/// Keeps the workers running until the program is asked to end.
async fn supervise(builder: Builder, limit: Duration) -> Result<(), Failure> {
    let mut asked = Asked::new()?;
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    loop {
        let event = tokio::select! {
            () = asked.once() => return end(&cluster, &mut events, &mut asked, limit).await,
            Some(event) = events.next() => event,
        };
        println!("{event}");
        match event {
            Event::Listening { worker, .. } => drop(listening.insert(worker)),
            // What keeps one from listening would keep the next one, too: there is no sense in
            // trying that as fast as the machine can.
            Event::Exit { worker, .. } => match listening.remove(&worker) {
                true => drop(cluster.fork().await?),
                false if listening.is_empty() => return Err("no worker listens".into()),
                false => {}
            },
            _ => {}
        }
    }
}

/// Lets all workers finish, and prints what is still to come.
async fn end(
    cluster: &Cluster,
    events: &mut Events,
    asked: &mut Asked,
    limit: Duration,
) -> Result<(), Failure> {
    let mut left = pin!(cluster.disconnect_within(limit));
    loop {
        tokio::select! {
            // What has happened is printed before the end of it all is noticed.
            biased;
            Some(event) = events.next() => println!("{event}"),
            result = &mut left => return Ok(result?),
            () = asked.once() => {
                for worker in cluster.workers().await? {
                    worker.kill(Signal::KILL);
                }
            }
        }
    }
}

async fn serve(worker: ThisWorker, address: &str) -> Result<(), Failure> {
    // A terminal sends Ctrl-C to all its processes, and systemd SIGTERM to all of a service.
    // Workers leave when the primary says so, and not before.
    let _ignored = Asked::new()?;
    let listener = worker.listen(address).await?;
    let id = worker.id();
    let upload = async move |body: Bytes| format!("worker {id} got {} bytes\n", body.len());
    let work = async move |Path(seconds): Path<u64>| {
        sleep(Duration::from_secs(seconds)).await;
        format!("worker {id} worked for {seconds} s\n")
    };
    let app = Router::new().route("/", any(upload)).route("/work/{seconds}", any(work));
    axum::serve(listener, app).with_graceful_shutdown(worker.disconnecting()).await?;
    worker.disconnected().await;
    Ok(())
}

/// The signals that ask a program to end.
struct Asked {
    terminate: Signals,
    interrupt: Signals,
}

impl Asked {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn once(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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
