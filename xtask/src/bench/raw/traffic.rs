//! What the example `traffic` does, without a cluster.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::unistd::close;

use super::descriptors::{self, Receiver};
use super::partner::{self, FILE, MESSAGE, Task};

/// By how much fewer are those that go to and fro, and those with handles.
const FEWER: u64 = 20;

/// Prints the same lines as the example, and round trips that are awaited as in an event loop.
pub(super) fn run(count: u64) -> Result<()> {
    let few = (count / FEWER).max(1);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / few as f64;
    let rate = |time: Duration, count: u64| count as f64 / time.as_secs_f64();
    let print = |what: &str, figure: f64| println!("{what}: {figure:.2}");
    timed(Task::Echo, few / FEWER, |channel| round_trips(channel, few / FEWER))?;
    print("round trip", each(timed(Task::Echo, few, |channel| round_trips(channel, few))?));
    print("round trip, awaited", each(timed(Task::EchoAwaited, few, |it| awaited_trips(it, few))?));
    let trips = timed(Task::EchoHandles, few, |channel| handle_trips(channel, few))?;
    print("round trip with handle", each(trips));
    let out = timed(Task::Take, count, |channel| {
        partner::give(channel, count)?;
        Ok(channel.read_exact(&mut [0])?)
    })?;
    print("out", rate(out, count));
    let back = timed(Task::Give, count, |channel| {
        channel.write_all(&[0])?;
        partner::take(channel, count)
    })?;
    print("in", rate(back, count));
    let out = timed(Task::TakeHandles, few, |channel| {
        partner::give_handles(channel, few, 1)?;
        Ok(channel.read_exact(&mut [0])?)
    })?;
    print("out with handles", rate(out, few));
    let back = timed(Task::GiveHandles, few, |channel| {
        channel.write_all(&[0])?;
        partner::take_handles(channel, few)
    })?;
    print("in with handles", rate(back, few));
    Ok(())
}

/// How long `work` takes with a partner that does `task`.
fn timed(
    task: Task,
    count: u64,
    work: impl FnOnce(&mut UnixStream) -> Result<()>,
) -> Result<Duration> {
    let (mut channel, mut partner) = task.start(count)?;
    let started = Instant::now();
    work(&mut channel)?;
    let took = started.elapsed();
    drop(channel);
    partner.wait()?;
    Ok(took)
}

fn round_trips(channel: &mut UnixStream, count: u64) -> Result<()> {
    let mut message = [0; MESSAGE];
    for _ in 0..count {
        channel.write_all(&message)?;
        channel.read_exact(&mut message)?;
    }
    Ok(())
}

fn awaited_trips(channel: &mut UnixStream, count: u64) -> Result<()> {
    let (mut message, epoll) = ([0; MESSAGE], partner::watch(channel)?);
    for _ in 0..count {
        channel.write_all(&message)?;
        partner::await_message(&epoll)?;
        channel.read_exact(&mut message)?;
    }
    Ok(())
}

fn handle_trips(channel: &mut UnixStream, count: u64) -> Result<()> {
    let file = File::open(FILE)?;
    let mut received = Receiver::new();
    for _ in 0..count {
        descriptors::send(channel.as_raw_fd(), &[file.as_raw_fd()])?;
        let handles = received.next(channel.as_raw_fd())?;
        ensure!(handles.len() == 1, "the handle has not come back");
        handles.into_iter().try_for_each(close)?;
    }
    Ok(())
}
