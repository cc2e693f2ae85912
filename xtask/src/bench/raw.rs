//! The raw limits: bare system calls in a loop, which do what the programs under test do.

use anyhow::Result;
use clap::Subcommand;

mod answer;
mod batches;
mod descriptors;
mod handoff;
mod http;
mod partner;
mod spawning;
mod traffic;
mod worker;

/// What the bench starts itself as.
#[derive(Debug, clap::Args)]
pub(crate) struct Raw {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// The common interface of all programs under test.
    Http(http::Options),
    /// A worker of it.
    Worker(worker::Options),
    /// Messages through a socketpair.
    Traffic { count: u64 },
    /// Descriptors, several a message.
    Batches { size: usize, count: u64 },
    /// The other end of traffic and batches.
    Partner(partner::Options),
    /// Processes, one after another.
    Spawning { count: u32 },
    /// Such a process.
    Newborn,
}

impl Raw {
    /// Does what is asked until the other side has ended.
    pub(crate) fn run(self) -> Result<()> {
        match self.task {
            Task::Http(options) => http::run(&options),
            Task::Worker(options) => worker::run(&options),
            Task::Traffic { count } => traffic::run(count),
            Task::Batches { size, count } => batches::run(size, count),
            Task::Partner(options) => partner::run(&options),
            Task::Spawning { count } => spawning::run(count),
            Task::Newborn => spawning::be_born(),
        }
    }
}
