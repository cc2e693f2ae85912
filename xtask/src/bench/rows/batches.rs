//! Descriptors, several a message: bare system calls only.

use anyhow::Result;

use super::{Row, interleaved};
use crate::bench::Bench;
use crate::bench::results::Results;
use crate::bench::tool::Tool;

/// Descriptors a message.
const SIZES: &[usize] = &[1, 2, 4, 16, 64, 253];

/// How many descriptors go over a round.
const COUNT: u64 = 50_000;

/// All sizes in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let Some(raw) = Tool::raw("batches", bench.options)? else { return Ok(()) };
    let rounds = bench.options.rounds();
    interleaved(Row::Batches, rounds, [&raw], results, |raw, results| {
        for size in SIZES {
            for (what, figure) in raw.run(&[size.to_string(), COUNT.to_string()])? {
                let (what, unit) = match what.as_str() {
                    "rate" => ("descriptors", "1/s"),
                    _ => ("CPU/descriptor, both sides", "µs"),
                };
                let subject = format!("{what}, {size} a message");
                results.add(Row::Batches, &subject, unit, &raw.name, figure);
            }
        }
        Ok(())
    });
    Ok(())
}
