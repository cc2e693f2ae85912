//! The command line, which workers inherit.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::available_parallelism;

use clap::Parser;
use cluster_tokio::Schedule;

/// A clustered HTTP server.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Where to listen: IP:PORT, [IPV6]:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", env = "CLUSTER_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: Place,
    /// How many workers; 0 serves in this process, without a cluster [default: one a processor]
    #[arg(long, value_name = "N", env = "CLUSTER_WORKERS")]
    workers: Option<usize>,
    /// Who gets the next connection: rr, none, sharded, least-loaded, power-of-two or sticky
    #[arg(long, value_name = "NAME", env = "CLUSTER_SCHEDULE", default_value = "rr")]
    pub(crate) schedule: Schedule,
    /// Replace one worker after another, with so many milliseconds in between
    #[arg(long, value_name = "MS")]
    pub(crate) roll_every: Option<NonZeroU64>,
    /// Workers do not interrupt each other (`SCHED_BATCH`)
    #[arg(long)]
    pub(crate) batch: bool,
    /// Another program as worker
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec: Option<PathBuf>,
    /// An argument of that program (repeatable)
    #[arg(long = "arg", value_name = "A", requires = "exec", allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

impl Options {
    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| available_parallelism().map_or(1, Into::into))
    }
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(String),
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.to_owned()),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
