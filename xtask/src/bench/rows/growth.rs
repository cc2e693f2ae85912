//! What a connection costs the primary, with few workers and with many.

use anyhow::Result;

use super::cost::cost;
use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::contender::Contender;
use crate::bench::results::Results;
use crate::bench::server::Case;

const FEW: Case<'static> = Case { workers: 2, schedule: "rr" };
const MANY: Case<'static> = Case { workers: 64, schedule: "rr" };

/// All programs in turn. Those that take seconds to start so many workers are left out when it
/// has to be quick.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let takes_part = |it: &&Contender| !(bench.options.quick && it.name == "node");
    let contenders = bench.contenders(Row::Growth).filter(takes_part);
    let rounds = bench.options.rounds();
    interleaved(Row::Growth, rounds, contenders, results, |contender, results| {
        let few = cost(bench, contender, FEW)?.primary;
        let many = cost(bench, contender, MANY)?.primary;
        let mut add = |subject: &str, unit, sample| {
            results.add(Row::Growth, subject, unit, &contender.name, sample);
        };
        add("primary's CPU/connection, 2 workers", "µs", few);
        add("primary's CPU/connection, 64 workers", "µs", many);
        add(subject::GROWTH, "×", many / few);
        Ok(())
    });
    Ok(())
}
