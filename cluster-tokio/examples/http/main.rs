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
use cluster_tokio::Role;

use options::Options;

// One thread a process: it is the workers that make use of the processors.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let result = match cluster_tokio::role() {
        Ok(Role::Primary(_)) if options.workers() == 0 => serve::alone(&options).await,
        Ok(Role::Primary(builder)) => primary::run(builder, &options).await,
        Ok(Role::Worker(worker)) => serve::as_worker(worker, &options).await,
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What any part of this program may fail with.
type Failure = Box<dyn std::error::Error + Send + Sync>;
