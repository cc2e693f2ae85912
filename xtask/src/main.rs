//! Checks and measures this workspace: the test matrix, tidy and the bench.
//!
//! `cargo xtask test-matrix` runs everything that tests the workspace and prints one table;
//! `cargo xtask tidy` holds the sources against the laws of the architecture; `cargo xtask bench`
//! measures what the examples cost next to bare system calls. This program does not depend on the
//! workspace's own crates: it runs them as programs.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod cargo;
mod matrix;
mod tidy;

/// Why a task could not be carried out at all, as opposed to having found something.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|failure| {
        eprintln!("xtask: {failure}");
        ExitCode::FAILURE
    })
}

/// Checks and measures this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    /// The workspace to work on, instead of the one that this program belongs to.
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measures the examples next to bare system calls, and prints one table.
    Bench(bench::Options),
    /// The bare system calls, which the bench starts itself.
    #[command(hide = true)]
    BenchRaw(bench::Raw),
    /// Runs everything that tests the workspace and prints one table.
    TestMatrix(matrix::Options),
    /// Checks the laws of the architecture.
    Tidy,
}

impl Cli {
    fn run(self) -> Result<ExitCode, Failure> {
        let own = || concat!(env!("CARGO_MANIFEST_DIR"), "/..").into();
        let given = self.root.unwrap_or_else(own);
        let root = given.canonicalize().map_err(|e| format!("{}: {e}", given.display()))?;
        match self.task {
            Task::Bench(options) => Ok(bench::run(&root, &options)?),
            Task::BenchRaw(raw) => Ok(raw.run().map(|()| ExitCode::SUCCESS)?),
            Task::TestMatrix(options) => matrix::run(&root, &options),
            Task::Tidy => tidy::run(&root),
        }
    }
}
