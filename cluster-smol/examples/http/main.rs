//! A clustered HTTP server: each request is answered with the worker that served it.
//!
//! The primary prints one line an event. A worker that dies by itself is replaced. `SIGTERM`
//! and `SIGINT` let all workers finish what they do and leave; a second one kills them.

mod options;
mod primary;
mod rolling;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use cluster_smol::Role;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    // In a task of the executor whose tasks the cluster's are, they do not wake other threads.
    match smol::block_on(smol::spawn(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    match cluster_smol::role()? {
        Role::Primary(_) if options.workers() == 0 => serve::alone(&options).await,
        Role::Primary(builder) => primary::run(builder, &options).await,
        Role::Worker(worker) => serve::as_worker(worker, &options).await,
    }
}

/// What any part of this program may fail with.
type Failure = Box<dyn std::error::Error + Send + Sync>;
