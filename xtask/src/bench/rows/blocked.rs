//! A worker that is blocked for a while, under load: who waits for it, and how long.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Row, interleaved};
use crate::bench::Bench;
use crate::bench::client::{Load, Outcome};
use crate::bench::contender::Contender;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};
use crate::bench::spread::quantile;

const WORKERS: usize = 4;

/// Of these, those that a program knows.
const SCHEDULES: &[&str] = &["rr", "sharded"];

/// How long the load goes on before the worker is stopped, how long the worker is, and how long
/// the load goes on after that.
const BEFORE: Duration = Duration::from_millis(500);
const STOPPED: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_millis(500);

/// A connection that takes as long as this has waited for the worker; one that takes less may have
/// waited until others got it.
const LONG: Duration = Duration::from_secs(1);

/// A connection that takes as long as this has waited for something else than its turn.
const NOTABLE: Duration = Duration::from_millis(100);

/// All programs, once.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let contenders = bench.contenders(Row::Blocked);
    interleaved(Row::Blocked, 1, contenders, results, |contender, results| {
        for schedule in SCHEDULES.iter().filter(|it| contender.schedules.contains(it)) {
            one(bench, contender, Case { workers: WORKERS, schedule }, results)?;
        }
        Ok(())
    });
    Ok(())
}

fn one(
    bench: &Bench<'_>,
    contender: &Contender,
    case: Case<'_>,
    results: &mut Results,
) -> Result<()> {
    let mut server = Server::start(contender, case)?;
    let load = Load {
        limit: BEFORE + STOPPED + AFTER,
        ..Load::even(server.address, u64::MAX, bench.options.parallel)
    };
    let victim = *server.workers().values().next().context("there is a worker")?;
    let mut outcome = with_a_stopped_worker(victim, load)?;
    server.stop()?;
    let mut times = std::mem::take(&mut outcome.times);
    outcome.flawless()?;
    let micros = |it: Duration| it.as_secs_f64() * 1e6;
    times.sort_by(f64::total_cmp);
    let notable = times.partition_point(|it| *it < micros(NOTABLE));
    let long = times.partition_point(|it| *it < micros(LONG));
    let p99 = quantile(&times[..long], 0.99).context("nothing was timed")?;
    let mut add = |what: &str, unit, sample| {
        let subject = format!("{what}, {WORKERS} workers {}", case.schedule);
        results.add(Row::Blocked, &subject, unit, &contender.name, sample);
    };
    add("waited for the blocked worker", "", (times.len() - long) as f64);
    add("waited 0.1 to 1 s", "", (long - notable) as f64);
    add("p99 of all others", "ms", p99 / 1e3);
    add("all connections", "", times.len() as f64);
    Ok(())
}

fn with_a_stopped_worker(victim: u32, load: Load) -> Result<Outcome> {
    let victim = Pid::from_raw(victim.cast_signed());
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let client = scope.spawn(move || {
            let outcome = load.run();
            drop(ended);
            outcome
        });
        // A load that fails ends before its time, and then there is nothing more to wait for.
        end.recv_timeout(BEFORE).ok();
        kill(victim, Signal::SIGSTOP)?;
        end.recv_timeout(STOPPED).ok();
        kill(victim, Signal::SIGCONT)?;
        client.join().map_err(|_| anyhow!("the client panicked"))?
    })
}
