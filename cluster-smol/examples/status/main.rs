//! Numbers for the whole cluster: workers count, the primary sums up and shows.
//!
//! ```text
//! cargo run -p cluster-smol --example status -- [ADDRESS [STATUS_ADDRESS [SECONDS]]]
//! curl http://127.0.0.1:8000/           (some requests; those to /fail fail)
//! curl http://127.0.0.1:8001/status     (a table to look at)
//! curl http://127.0.0.1:8001/metrics    (the same for Prometheus)
//! ```
//!
//! Each worker reports its requests, its errors and its memory once a second, and once more
//! when it leaves. The primary has a port of its own, where it answers for all of them.
//!
//! Why it is done so: whoever scrapes a port that workers share gets one worker's numbers at a
//! time, and never knows whose. The primary keeps the numbers of the dead, so that its totals
//! never fall (a counter that does is taken for a restart). Numbers by worker are there for
//! those that live only: no two workers ever have the same number, and so labels would pile up.
//! What a worker counted after its last report dies with it.

mod board;
#[path = "../serving/listener.rs"]
mod listener;

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Builder, Cluster, Event, Events, Role, TcpListener, ThisWorker};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use smol::Timer;
use smol::future::{or, pending};
use smol::stream::StreamExt;

use board::{Board, Report, failed, page};
use listener::{Answer, answer_all};

fn main() -> Result<(), Failure> {
    let address = argument(1, "127.0.0.1:8000".to_owned())?;
    let status_address = argument(2, "127.0.0.1:8001".to_owned())?;
    let every = Duration::try_from_secs_f64(argument(3, 1.0)?)?;
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => supervise(builder, &status_address).await,
            Role::Worker(worker) => serve(worker, &address, every).await,
        }
    }))
}

/// Keeps the workers running, and takes down what they report.
async fn supervise(builder: Builder, status_address: &str) -> Result<(), Failure> {
    let mut terminate = Signals::new([Asked::Term])?;
    let board = Arc::new(Board::default());
    let listener = TcpListener::bind(status_address).await?;
    println!("status {}", listener.local_addr()?);
    let shown = board.clone();
    let answer = async move |request: Request<Incoming>| page(&shown, request.uri().path());
    smol::spawn(answer_all(listener, pending(), answer)).detach();
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    while let Some(event) = next(&mut events, &mut terminate).await {
        take_down(&board, &event)?;
        match event {
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
    end(cluster, events, &board).await
}

/// The next event; `None` when the program is asked to end.
async fn next(events: &mut Events, asked: &mut Signals) -> Option<Event> {
    let asked = async {
        asked.next().await;
        None
    };
    or(asked, events.next()).await
}

/// Prints an event, or notes on the board what it says.
fn take_down(board: &Board, event: &Event) -> Result<(), Failure> {
    match event {
        Event::Message { worker, message } => board.report(*worker, message.decode::<Report>()?),
        event => println!("{event}"),
    }
    match event {
        Event::Fork { worker, .. } => board.born(*worker),
        // Not the exit, which may be seen before the last report is.
        Event::Disconnect { worker, .. } => board.gone(*worker),
        _ => {}
    }
    Ok(())
}

/// Lets all workers leave. When the last one is gone, and nobody could fork, the events end.
async fn end(cluster: Cluster, mut events: Events, board: &Board) -> Result<(), Failure> {
    cluster.disconnect().await?;
    drop(cluster);
    while let Some(event) = events.next().await {
        take_down(board, &event)?;
    }
    println!("total {}", board.total());
    Ok(())
}

async fn serve(worker: ThisWorker, address: &str, every: Duration) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let listener = worker.listen(address).await?;
    // The channel stays open until the last report is sent.
    let busy = worker.busy();
    smol::spawn(report_regularly(worker.clone(), counts.clone(), every)).detach();
    let counting = counts.clone();
    let answer = async move |request: Request<Incoming>| {
        let answer = match request.uri().path() {
            "/" => Response::new("hello\n".into()),
            "/fail" => failed(StatusCode::INTERNAL_SERVER_ERROR),
            _ => failed(StatusCode::NOT_FOUND),
        };
        counting.count(&answer);
        answer
    };
    answer_all(listener, worker.disconnecting(), answer).await;
    worker.send(&counts.report()?).await?;
    drop(busy);
    worker.disconnected().await;
    Ok(())
}

/// Reports until there is nobody to report to.
async fn report_regularly(
    worker: ThisWorker,
    counts: Arc<Counts>,
    every: Duration,
) -> Result<(), Failure> {
    loop {
        worker.send(&counts.report()?).await?;
        Timer::after(every).await;
    }
}

/// What a worker counts.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    errors: AtomicU64,
}

impl Counts {
    /// Counts a request, whatever it is answered with.
    fn count(&self, answer: &Answer) {
        self.requests.fetch_add(1, Relaxed);
        self.errors.fetch_add(answer.status().is_server_error().into(), Relaxed);
    }

    fn report(&self) -> io::Result<Report> {
        let (requests, errors) = (self.requests.load(Relaxed), self.errors.load(Relaxed));
        Ok(Report { requests, errors, resident: resident()? })
    }
}

/// How much memory this process has, in bytes. (`/proc/self/statm` tells it in pages, whose
/// size the standard library does not know.)
fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.map(|it| it * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
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
