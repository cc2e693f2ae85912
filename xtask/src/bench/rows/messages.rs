//! Messages between a primary and a worker.

use anyhow::Result;

use super::{Row, interleaved};
use crate::bench::Bench;
use crate::bench::results::Results;

/// How many messages go one way: of the others, and of Node, for which that would take long.
const COUNTS: (u64, u64) = (400_000, 20_000);

/// By how much fewer are quick.
const QUICK: u64 = 2;

/// Round trips and floods of all programs in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let tools = bench.tools("traffic")?;
    let rounds = bench.options.rounds();
    interleaved(Row::Messages, rounds, &tools, results, |tool, results| {
        let count = if tool.name == "node" { COUNTS.1 } else { COUNTS.0 };
        let count = if bench.options.quick { count / QUICK } else { count };
        for (what, figure) in tool.run(&[count.to_string()])? {
            let unit = if what.starts_with("round trip") { "µs" } else { "1/s" };
            results.add(Row::Messages, &what, unit, &tool.name, figure);
        }
        Ok(())
    });
    Ok(())
}
