//! How much longer an answer takes in a cluster, while there is little to do.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Row, interleaved};
use crate::bench::Bench;
use crate::bench::client::Load;
use crate::bench::pace;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};
use crate::bench::spread::quantile;

const WORKERS: usize = 2;

/// Of these, those that a program knows.
const SCHEDULES: &[&str] = &["rr", "sharded", "none"];

/// The part of what a program can do un-clustered that is asked of it.
const SHARE: f64 = 0.1;

/// How many are timed, of the connections of a case.
const TIMED: u64 = 4;

/// Median and 99th percentile of all programs in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let rounds = bench.options.rounds();
    let contenders = bench.contenders(Row::Latency);
    interleaved(Row::Latency, rounds, contenders, results, |contender, results| {
        let server = Server::start(contender, Case::ALONE)?;
        let every = interval(bench, &server)?;
        let alone = Latency::of(bench, server, every)?;
        let mut add = |subject: &str, sample| {
            results.add(Row::Latency, subject, "µs", &contender.name, sample);
        };
        add("p50 at 10 % load, un-clustered", alone.p50);
        add("p99 at 10 % load, un-clustered", alone.p99);
        for schedule in SCHEDULES.iter().filter(|it| contender.schedules.contains(it)) {
            let case = Case { workers: WORKERS, schedule };
            let clustered = Latency::of(bench, Server::start(contender, case)?, every)?;
            add(&format!("p50 at 10 % load, {WORKERS} workers {schedule}"), clustered.p50);
            add(&format!("added p50, {WORKERS} workers {schedule}"), clustered.p50 - alone.p50);
            add(&format!("p99 at 10 % load, {WORKERS} workers {schedule}"), clustered.p99);
            add(&format!("added p99, {WORKERS} workers {schedule}"), clustered.p99 - alone.p99);
        }
        Ok(())
    });
    Ok(())
}

/// From one connection to the next, so that `server` has little to do.
fn interval(bench: &Bench<'_>, server: &Server) -> Result<Duration> {
    let connections = bench.options.connections() / 2 + 1;
    let outcome = Load::even(server.address, connections, bench.options.parallel).run()?;
    Ok(outcome.took.div_f64(connections as f64 * SHARE))
}

struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    fn of(bench: &Bench<'_>, server: Server, every: Duration) -> Result<Self> {
        let connections = bench.options.connections() / TIMED + 1;
        pace::run(server.address, connections / 10 + 1, every)?;
        let times = pace::run(server.address, connections, every)?;
        server.stop()?;
        let at = |share| quantile(&times, share).context("nothing was timed");
        Ok(Self { p50: at(0.5)?, p99: at(0.99)? })
    }
}
