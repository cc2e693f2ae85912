//! The primary: starts workers, replaces those that die, and ends them all when asked to.

use std::io::{self, Write};
use std::pin::pin;

use cluster_tokio::{Builder, Cluster, Event, Events, Settings, Signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::Failure;
use crate::options::Options;
use crate::rolling::Rolling;

/// Runs the cluster until it is asked to end.
pub(crate) async fn run(builder: Builder, options: &Options) -> Result<(), Failure> {
    let mut asked = Asked::new()?;
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
    asked: &mut Asked,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            () = asked.once() => return Ok(()),
            () = rolling.due() => rolling.begin(cluster).await?,
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
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
async fn end(cluster: &Cluster, events: &mut Events, asked: &mut Asked) -> Result<(), Failure> {
    let mut left = pin!(cluster.disconnect());
    loop {
        tokio::select! {
            biased;
            Some(event) = events.next() => say(format_args!("{event}"))?,
            result = &mut left => return Ok(result?),
            () = asked.once() => {
                for worker in cluster.workers().await? {
                    worker.kill(Signal::KILL);
                }
            }
        }
    }
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

/// Prints one line, at once.
fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
