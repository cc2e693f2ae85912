//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum as _};

use super::rows::Row;

/// What to measure, how often, and where to write it down.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure this row only (repeatable): a to k, as BENCH.md has them.
    #[arg(long, value_name = "ROW")]
    pub(super) only: Vec<Row>,

    /// Fewer and smaller repetitions.
    #[arg(long)]
    pub(super) quick: bool,

    /// Repeat each case so many times [default: 5, or 3 with --quick].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Connections a case [default: 4000, or 2000 with --quick].
    #[arg(long, value_name = "N")]
    connections: Option<u64>,

    /// Connections that are open at a time.
    #[arg(long, value_name = "N", default_value = "32")]
    pub(super) parallel: usize,

    /// Connections of a storm and of a rolling restart [default: 200000, or 10000 with --quick].
    #[arg(long, value_name = "N")]
    storm: Option<u64>,

    /// Milliseconds from one kill, or replacement, to the next, of a storm and a rolling restart.
    #[arg(long, value_name = "MS", default_value = "200")]
    pub(super) period: u64,

    /// Seconds that a storm or a rolling restart may take; what is not begun by then is left out
    /// [default: 20, or 6 with --quick].
    #[arg(long, value_name = "S")]
    limit: Option<u64>,

    /// Measure only these of raw, tokio, smol (and these three with " batch" behind it), node
    /// and the peers (repeatable).
    #[arg(long, value_name = "NAME")]
    programs: Vec<String>,

    /// Another program with the same command line and output (repeatable).
    #[arg(long, value_name = "NAME=CMD")]
    pub(super) peer: Vec<Peer>,

    /// Write the results to this file, too.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,

    /// Draw the results into this folder, too.
    #[arg(long, value_name = "DIR")]
    pub(super) svg: Option<PathBuf>,
}

impl Options {
    pub(super) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.unwrap_or(if self.quick { 2_000 } else { 4_000 }).max(1)
    }

    pub(super) fn storm(&self) -> u64 {
        self.storm.unwrap_or(if self.quick { 10_000 } else { 200_000 }).max(1)
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.limit.unwrap_or(if self.quick { 6 } else { 20 }))
    }

    /// The rows that are wanted.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        Row::value_variants().iter().copied().filter(|row| self.wants(*row))
    }

    /// Whether `row` is wanted.
    pub(super) fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    /// Whether the program `name` is wanted.
    pub(super) fn admits(&self, name: &str) -> bool {
        self.programs.is_empty() || self.programs.iter().any(|wanted| wanted == name)
    }
}

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(super) name: String,
    /// What a shell runs.
    pub(super) command: String,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
                Ok(Self { name: name.to_owned(), command: command.to_owned() })
            }
            _ => Err("NAME=CMD is wanted".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn options(line: &[&str]) -> Result<Options, clap::Error> {
        let command = Options::augment_args(clap::Command::new("bench").no_binary_name(true));
        Options::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    #[test]
    fn rows_go_by_their_letters() {
        for row in Row::value_variants() {
            let only = options(&["--only", &row.letter().to_string()]).expect("that is a row");
            assert_eq!(only.rows().collect::<Vec<_>>(), [*row]);
        }
        let all = options(&[]).expect("nothing is required");
        assert_eq!(all.rows().count(), Row::value_variants().len());
        assert!(options(&["--only", "l"]).is_err());
    }

    #[test]
    fn programs_go_by_their_whole_names() {
        let some = options(&["--programs", "raw", "--programs", "tokio batch"]).expect("names");
        let names = ["raw", "raw batch", "tokio", "tokio batch", "node"];
        assert_eq!(names.map(|name| some.admits(name)), [true, false, false, true, false]);
        assert!(options(&[]).expect("nothing is required").admits("tokio batch"));
    }

    #[test]
    fn a_peer_is_a_name_and_a_command() {
        let peer = "go=./server --fast a=b".parse::<Peer>();
        let expected = Peer { name: "go".to_owned(), command: "./server --fast a=b".to_owned() };
        assert_eq!(peer, Ok(expected));
        for wrong in ["go", "=server", "go=", "go= "] {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }
}
