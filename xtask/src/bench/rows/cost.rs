//! Processor time a connection, un-clustered and clustered.

use std::time::Duration;

use anyhow::Result;

use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::client::Load;
use crate::bench::contender::Contender;
use crate::bench::cpu;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};

/// Numbers of workers.
const WORKERS: &[usize] = &[2, 8];

/// All cases of all programs in turn, again and again.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let rounds = bench.options.rounds();
    let contenders = bench.contenders(Row::Cost);
    interleaved(Row::Cost, rounds, contenders, results, |contender, results| {
        let mut add = |subject: &str, unit, sample| {
            results.add(Row::Cost, subject, unit, &contender.name, sample);
        };
        let alone = cost(bench, contender, Case::ALONE)?;
        add("CPU/connection, un-clustered", "µs", alone.total);
        for schedule in &contender.schedules {
            for workers in WORKERS {
                let cost = cost(bench, contender, Case { workers: *workers, schedule })?;
                add(&subject::cost(*workers, schedule), "µs", cost.total);
                if cost.primary > 0.0 {
                    let primary = format!("of it the primary's, {workers} workers {schedule}");
                    add(&primary, "µs", cost.primary);
                }
                add(&subject::ratio(*workers, schedule), "×", cost.total / alone.total);
            }
        }
        Ok(())
    });
    Ok(())
}

/// Microseconds of processor time a connection.
pub(super) struct Cost {
    pub(super) total: f64,
    pub(super) primary: f64,
}

/// What `contender` costs in `case`.
pub(super) fn cost(bench: &Bench<'_>, contender: &Contender, case: Case<'_>) -> Result<Cost> {
    let server = Server::start(contender, case)?;
    let (connections, parallel) = (bench.options.connections(), bench.options.parallel);
    // What is done for the first time costs more.
    Load::even(server.address, connections / 4 + 1, parallel).run()?;
    let family = server.family()?;
    let before = spent(&family)?;
    Load::even(server.address, connections, parallel).run()?.flawless()?;
    let after = spent(&family)?;
    server.stop()?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / connections as f64;
    let total = after.iter().sum::<Duration>() - before.iter().sum();
    Ok(Cost { total: each(total), primary: each(after[0] - before[0]) })
}

/// The processor time of each process of a `family`. The first one is the primary.
pub(super) fn spent(family: &[u32]) -> Result<Vec<Duration>> {
    family.iter().map(|pid| cpu::spent(*pid)).collect()
}
