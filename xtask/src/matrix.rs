//! `cargo xtask test-matrix`: everything that tests the workspace, in one table.

use std::fs;
use std::io::{self, Write as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::Failure;
use report::Report;

mod build;
mod contract;
mod libtest;
mod process;
mod program;
mod report;
mod round;
mod table;
mod verdict;

/// What to run, how often, and where to write it down.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Run everything so many times.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,

    /// Write the results to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Run so many test executables at a time, each with its share of the threads.
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
}

/// Builds and runs the tests of the workspace `root`, and succeeds when all of them do.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, Failure> {
    let programs = build::programs(root)?;
    let mut report = Report::new(options.filter.clone(), options.repeat.get());
    for round in 1..=options.repeat.get() {
        let runs = round::run(root, &programs, options, round)?;
        report.add(round, &programs, runs);
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    io::stdout().write_all(report.render().as_bytes())?;
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
