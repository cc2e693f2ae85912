//! From the fork of a worker to its being there.

use anyhow::{Context as _, Result};

use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::results::Results;
use crate::bench::spread::Spread;

/// How many workers are born a round.
const COUNT: u32 = 5;

/// Births of workers of all programs in turn.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let tools = bench.tools("spawning")?;
    let rounds = bench.options.rounds();
    interleaved(Row::Births, rounds, &tools, results, |tool, results| {
        let figures = tool.run(&[COUNT.to_string()])?;
        for (what, subject) in [("online", subject::ONLINE), ("listening", subject::LISTENING)] {
            let samples: Vec<_> = figures
                .iter()
                .filter(|(name, _)| name == what)
                .map(|(_, figure)| *figure)
                .collect();
            let middle = Spread::of(&samples).context("nobody was born")?.median;
            results.add(Row::Births, subject, "ms", &tool.name, middle);
        }
        Ok(())
    });
    Ok(())
}
