//! Kinds of load: connections that are kept for many requests, and clients that send slowly.

use std::mem;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cost::spent;
use super::{Row, interleaved};
use crate::bench::Bench;
use crate::bench::client::{Load, Slow};
use crate::bench::contender::Contender;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};
use crate::bench::spread::quantile;

const WORKERS: usize = 2;

/// Of these, those that a program knows.
const SCHEDULES: &[&str] = &["rr", "sharded"];

/// The requests of a connection that is kept.
const REQUESTS: u32 = 100;

/// To so many ordinary connections there is one that is kept: a request costs less than a
/// connection, so that there may be more of them.
const KEPT: u64 = 40;

/// To so many connections at a time there is one slow client.
const OTHERS: usize = 4;

/// How a slow client writes its request.
const PIECES: usize = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Both kinds for all programs in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let rounds = bench.options.rounds();
    let contenders = bench.contenders(Row::Kinds);
    interleaved(Row::Kinds, rounds, contenders, results, |contender, results| {
        let mut add = |subject: &str, unit, sample| {
            results.add(Row::Kinds, subject, unit, &contender.name, sample);
        };
        let alone = Kinds::of(bench, contender, Case::ALONE)?;
        add("CPU/request, kept, un-clustered", "µs", alone.request);
        add("p50 beside slow, un-clustered", "ms", alone.p50);
        add("p99 beside slow, un-clustered", "ms", alone.p99);
        for schedule in SCHEDULES.iter().filter(|it| contender.schedules.contains(it)) {
            let clustered = Kinds::of(bench, contender, Case { workers: WORKERS, schedule })?;
            let mut compare = |what: &str, unit, clustered: f64, alone: f64| {
                let subject = format!("{what}, {WORKERS} workers {schedule}");
                add(&subject, unit, clustered);
                add(&format!("{subject}/un-clustered"), "×", clustered / alone);
            };
            compare("CPU/request, kept", "µs", clustered.request, alone.request);
            compare("p50 beside slow", "ms", clustered.p50, alone.p50);
            compare("p99 beside slow", "ms", clustered.p99, alone.p99);
        }
        Ok(())
    });
    Ok(())
}

/// What came of both kinds.
struct Kinds {
    /// Microseconds of processor time a request, where connections are kept.
    request: f64,
    /// Milliseconds that ordinary connections took beside slow clients.
    p50: f64,
    p99: f64,
}

impl Kinds {
    fn of(bench: &Bench<'_>, contender: &Contender, case: Case<'_>) -> Result<Self> {
        let server = Server::start(contender, case)?;
        let (connections, parallel) = (bench.options.connections(), bench.options.parallel);
        // What is done for the first time costs more.
        Load::even(server.address, connections / 4 + 1, parallel).run()?;
        let times = beside_slow(bench, &server).context("beside slow clients")?;
        // By now it is warm for requests, too, of which there are not so many.
        let request = request(bench, &server).context("kept connections")?;
        server.stop()?;
        let milliseconds = |time: f64| time / 1e3;
        let at = |share| quantile(&times, share).map(milliseconds).context("nothing was timed");
        Ok(Self { request, p50: at(0.5)?, p99: at(0.99)? })
    }
}

/// Microseconds that ordinary connections took beside slow clients. Sorted.
fn beside_slow(bench: &Bench<'_>, server: &Server) -> Result<Vec<f64>> {
    let parallel = bench.options.parallel;
    let slow = Slow { clients: parallel.div_ceil(OTHERS), pieces: PIECES, pause: PAUSE };
    let load = Load::even(server.address, bench.options.connections(), parallel);
    let mut outcome = Load { slow: Some(slow), ..load }.run()?;
    let mut times = mem::take(&mut outcome.times);
    outcome.flawless()?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Microseconds of processor time a request on connections that are kept.
fn request(bench: &Bench<'_>, server: &Server) -> Result<f64> {
    let connections = bench.options.connections() / KEPT + 1;
    let load = Load::even(server.address, connections, bench.options.parallel);
    let load = Load { requests: REQUESTS, ..load };
    let family = server.family()?;
    let before = spent(&family)?;
    load.run()?.flawless()?;
    let after = spent(&family)?;
    let total = after.iter().sum::<Duration>() - before.iter().sum();
    Ok(total.as_secs_f64() * 1e6 / (connections * u64::from(REQUESTS)) as f64)
}
