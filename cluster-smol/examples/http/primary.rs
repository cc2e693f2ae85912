//! The primary: starts workers, replaces those that die, and ends them all when asked to.

use std::future::pending;
use std::io::{self, Write};
use std::pin::pin;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Builder, Cluster, Event, Events, Settings, Signal};
use smol::future::or;
use smol::stream::StreamExt;

use crate::Failure;
use crate::options::Options;
use crate::rolling::Rolling;

/// Runs the cluster until it is asked to end.
pub(crate) async fn run(builder: Builder, options: &Options) -> Result<(), Failure> {
    let mut asked = Signals::new([Asked::Term, Asked::Int])?;
    say(format_args!("primary {}", std::process::id()))?;
    let batch = Settings::new().batch(options.batch);
    let mut builder = builder.schedule(options.schedule).settings(&batch);
    if let Some(program) = &options.exec {
        builder = builder.settings(&Settings::new().exec(program).args(&options.args));
    }
    let cluster = builder.start()?;
    let mut events = cluster.events();
    for _ in 0..options.workers() {
        cluster.fork().await?;
    }
    let rolling = Rolling::new(options.roll_every);
    let result = watch(&cluster, &mut events, rolling, &mut asked).await;
    end(&cluster, &mut events, &mut asked).await?;
    // The last lines may still be on their way; the stream ends with the cluster.
    drop(cluster);
    while let Some(event) = events.next().await {
        say(format_args!("{event}"))?;
    }
    result
}

/// Prints events and replaces workers, until the program is asked to end or cannot go on.
async fn watch(
    cluster: &Cluster,
    events: &mut Events,
    mut rolling: Rolling,
    asked: &mut Signals,
) -> Result<(), Failure> {
    loop {
        match first(asked, rolling.due(), events.next()).await {
            First::Asked | First::Event(None) => return Ok(()),
            First::Other(()) => rolling.begin(cluster).await?,
            First::Event(Some(event)) => {
                say(format_args!("{event}"))?;
                let rolled = rolling.go_on(cluster, &event).await?;
                match event {
                    Event::Exit { exited_after_disconnect: false, .. } if !rolled => {
                        cluster.fork().await?;
                    }
                    // A worker that cannot listen says why.
                    Event::Message { message, .. } => {
                        return Err(message.decode::<String>()?.into());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Lets all workers leave, and prints what is still to come. Asked once more, it kills them.
async fn end(cluster: &Cluster, events: &mut Events, asked: &mut Signals) -> Result<(), Failure> {
    let mut left = pin!(cluster.disconnect());
    loop {
        match first(asked, left.as_mut(), events.next()).await {
            First::Event(Some(event)) => say(format_args!("{event}"))?,
            First::Event(None) => return Ok(()),
            First::Other(left) => return Ok(left?),
            First::Asked => {
                for worker in cluster.workers().await? {
                    worker.kill(Signal::KILL);
                }
            }
        }
    }
}

/// What came first.
enum First<T> {
    Asked,
    Event(Option<Event>),
    Other(T),
}

/// Waits; of what is there at once, events come first.
async fn first<T>(
    asked: &mut Signals,
    other: impl Future<Output = T>,
    event: impl Future<Output = Option<Event>>,
) -> First<T> {
    let event = async { First::Event(event.await) };
    let other = async { First::Other(other.await) };
    let asked = async {
        match asked.next().await {
            Some(_) => First::Asked,
            None => pending().await,
        }
    };
    or(event, or(other, asked)).await
}

/// Prints one line, at once.
fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
