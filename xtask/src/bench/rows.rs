//! What is measured: a row of the table each.

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use super::contender::Contender;
use super::options::Options;
use super::results::Results;
use super::tool::Tool;

mod batches;
mod births;
mod blocked;
mod cost;
mod evenness;
mod growth;
mod kinds;
mod latency;
mod memory;
mod messages;
mod storm;
pub(super) mod subject;

/// The rows, by their letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Row {
    /// Processor time a connection
    #[value(name = "a")]
    Cost,
    /// Latency at little load
    #[value(name = "b")]
    Latency,
    /// Who gets how much
    #[value(name = "c")]
    Evenness,
    /// Messages between primary and worker
    #[value(name = "d")]
    Messages,
    /// From fork to a worker that listens
    #[value(name = "e")]
    Births,
    /// Private memory
    #[value(name = "f")]
    Memory,
    /// Descriptors, several a message
    #[value(name = "g")]
    Batches,
    /// Killed workers, and a rolling restart
    #[value(name = "h")]
    Storm,
    /// The primary's share with few and with many workers
    #[value(name = "i")]
    Growth,
    /// Connections that are kept, and slow clients
    #[value(name = "j")]
    Kinds,
    /// A worker that is blocked for a while
    #[value(name = "k")]
    Blocked,
}

impl Row {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Cost => 'a',
            Self::Latency => 'b',
            Self::Evenness => 'c',
            Self::Messages => 'd',
            Self::Births => 'e',
            Self::Memory => 'f',
            Self::Batches => 'g',
            Self::Storm => 'h',
            Self::Growth => 'i',
            Self::Kinds => 'j',
            Self::Blocked => 'k',
        }
    }

    fn measure(self, bench: &Bench<'_>, results: &mut Results) -> Result<()> {
        match self {
            Self::Cost => cost::measure(bench, results),
            Self::Latency => latency::measure(bench, results),
            Self::Evenness => evenness::measure(bench, results),
            Self::Messages => messages::measure(bench, results),
            Self::Births => births::measure(bench, results),
            Self::Memory => memory::measure(bench, results),
            Self::Batches => batches::measure(bench, results),
            Self::Storm => storm::measure(bench, results),
            Self::Growth => growth::measure(bench, results),
            Self::Kinds => kinds::measure(bench, results),
            Self::Blocked => blocked::measure(bench, results),
        }
    }
}

/// Measures each row that is wanted. A program that fails in one is noted and left out of it.
pub(super) fn run(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    for row in bench.options.rows() {
        row.measure(bench, results)?;
    }
    Ok(())
}

/// The examples that the rows need which are wanted.
pub(super) fn examples(options: &Options) -> Vec<&'static str> {
    let mut names = vec!["http"];
    names.extend(options.wants(Row::Messages).then_some("traffic"));
    names.extend(options.wants(Row::Births).then_some("spawning"));
    names
}

/// A program that takes part.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Contender {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Tool {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Does `work` for each of `programs`, round after round, so that whatever else the machine does
/// befalls all of them alike. One that has failed takes no further part.
fn interleaved<'a, P: Named + 'a>(
    row: Row,
    rounds: usize,
    programs: impl IntoIterator<Item = &'a P>,
    results: &mut Results,
    mut work: impl FnMut(&P, &mut Results) -> Result<()>,
) {
    let mut taking_part: Vec<&P> = programs.into_iter().collect();
    for round in 1..=rounds {
        taking_part.retain(|program| {
            eprintln!("row {}, round {round} of {rounds}: {}", row.letter(), program.name());
            let done = work(program, results);
            if let Err(error) = &done {
                results.note(format!("{}: {}: {error:#}", row.letter(), program.name()));
            }
            done.is_ok()
        });
    }
}
