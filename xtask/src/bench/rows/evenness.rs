//! Who gets how much, when all connections are alike and when some are heavy.

use anyhow::{Context as _, Result};

use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::client::{Load, Skew};
use crate::bench::contender::Contender;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};
use crate::bench::spread::quantile;

const WORKERS: usize = 8;

/// By how much more connections are counted than timed elsewhere: where chance has its hand in who
/// gets the next one, a few tell little.
const MORE: u64 = 4;

/// As many heavy connections as there are workers to each other one: in turn, they would all
/// come to the same worker.
const SKEW: Skew = Skew { every: WORKERS as u64, requests: 50 };

/// All schedules of all programs in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let rounds = bench.options.rounds();
    let contenders = bench.contenders(Row::Evenness);
    interleaved(Row::Evenness, rounds, contenders, results, |contender, results| {
        for schedule in &contender.schedules {
            let case = Case { workers: WORKERS, schedule };
            let even = even(bench, contender, case)?;
            let subject = subject::evenness(WORKERS, schedule);
            results.add(Row::Evenness, &subject, "×", &contender.name, even);
            // The raw programs answer one request a connection.
            if !contender.is_raw() {
                let skewed = skewed(bench, contender, case)?;
                let mut add = |what: &str, unit, sample| {
                    let subject = format!("{what}, skewed, {WORKERS} workers {schedule}");
                    results.add(Row::Evenness, &subject, unit, &contender.name, sample);
                };
                add("busiest/idlest by requests", "×", skewed.evenness);
                add("p99 of light connections", "µs", skewed.light);
                add("p99 of heavy connections", "µs", skewed.heavy);
            }
        }
        Ok(())
    });
    Ok(())
}

fn even(bench: &Bench<'_>, contender: &Contender, case: Case<'_>) -> Result<f64> {
    let server = Server::start(contender, case)?;
    let (connections, parallel) = (bench.options.connections() * MORE, bench.options.parallel);
    let outcome = Load::even(server.address, connections, parallel).run()?;
    server.stop()?;
    let evenness = outcome.evenness(case.workers);
    outcome.flawless()?;
    Ok(evenness)
}

struct Skewed {
    evenness: f64,
    light: f64,
    heavy: f64,
}

fn skewed(bench: &Bench<'_>, contender: &Contender, case: Case<'_>) -> Result<Skewed> {
    let server = Server::start(contender, case)?;
    let (connections, parallel) = (bench.options.connections() / 4, bench.options.parallel);
    let load = Load::even(server.address, connections, parallel);
    let mut outcome = Load { skew: Some(SKEW), ..load }.run()?;
    server.stop()?;
    let p99 = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        quantile(times, 0.99).context("nothing was timed")
    };
    let (light, heavy) = (p99(&mut outcome.times)?, p99(&mut outcome.long_times)?);
    let evenness = outcome.evenness(case.workers);
    outcome.flawless()?;
    Ok(Skewed { evenness, light, heavy })
}
