//! Ending in time: a server that is asked to end finishes what it has begun, but not for ever.
//!
//! ```text
//! cargo run -p cluster-smol --example graceful -- [ADDRESS [SECONDS]]
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

#[path = "serving/listener.rs"]
mod listener;

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Builder, Closed, Cluster, Event, Events, Role, Signal, ThisWorker};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use smol::Timer;
use smol::future::or;
use smol::stream::StreamExt;

use listener::{Answer, answer_all};

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

/// Keeps the workers running until the program is asked to end.
async fn supervise(builder: Builder, limit: Duration) -> Result<(), Failure> {
    let mut asked = Signals::new([Asked::Term, Asked::Int])?;
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..WORKERS {
        cluster.fork().await?;
    }
    let mut listening = HashSet::new();
    while let Some(event) = next(&mut events, &mut asked).await {
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
    end(&cluster, &mut events, &mut asked, limit).await
}

/// The next event; `None` when the program is asked to end.
async fn next(events: &mut Events, asked: &mut Signals) -> Option<Event> {
    let asked = async {
        asked.next().await;
        None
    };
    or(asked, events.next()).await
}

/// Lets all workers finish, and prints what is still to come.
async fn end(
    cluster: &Cluster,
    events: &mut Events,
    asked: &mut Signals,
    limit: Duration,
) -> Result<(), Failure> {
    let mut left = pin!(cluster.disconnect_within(limit));
    loop {
        // What has happened is printed before the end of it all is noticed.
        let event = async { First::Event(events.next().await) };
        let left = async { First::Left(left.as_mut().await) };
        let again = async {
            asked.next().await;
            First::Asked
        };
        match or(event, or(left, again)).await {
            First::Event(Some(event)) => println!("{event}"),
            First::Event(None) => return Ok(()),
            First::Left(result) => return Ok(result?),
            First::Asked => {
                for worker in cluster.workers().await? {
                    worker.kill(Signal::KILL);
                }
            }
        }
    }
}

/// What came first.
enum First {
    Event(Option<Event>),
    Left(Result<(), Closed>),
    Asked,
}

async fn serve(worker: ThisWorker, address: &str) -> Result<(), Failure> {
    // A terminal sends Ctrl-C to all its processes, and systemd SIGTERM to all of a service.
    // Workers leave when the primary says so, and not before.
    let _ignored = Signals::new([Asked::Term, Asked::Int])?;
    let listener = worker.listen(address).await?;
    let id = worker.id();
    let answer = async move |request: Request<Incoming>| {
        let text = match request.uri().path().strip_prefix("/work/").map(str::parse) {
            Some(Ok(seconds)) => {
                Timer::after(Duration::from_secs(seconds)).await;
                format!("worker {id} worked for {seconds} s\n")
            }
            Some(Err(_)) => return failed(StatusCode::BAD_REQUEST),
            None if request.uri().path() != "/" => return failed(StatusCode::NOT_FOUND),
            None => match request.into_body().collect().await {
                Ok(body) => format!("worker {id} got {} bytes\n", body.to_bytes().len()),
                Err(_) => return failed(StatusCode::BAD_REQUEST),
            },
        };
        Response::new(text.into())
    };
    answer_all(listener, worker.disconnecting(), answer).await;
    worker.disconnected().await;
    Ok(())
}

fn failed(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
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
