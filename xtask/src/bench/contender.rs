//! The programs that are compared: they take the same options and print the same lines.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::build;
use super::options::{Options, Peer};
use super::rows::Row;
use super::server::{Case, Server};

/// Bare system calls, one descriptor a message.
pub(super) const RAW: &str = "raw";

/// Bare system calls, as many descriptors a message as have come together.
pub(super) const RAW_BATCH: &str = "raw batch";

/// A package whose examples are measured.
pub(super) struct Runtime {
    /// What it is called here.
    pub(super) name: &'static str,
    /// The same with workers that run under `SCHED_BATCH`.
    pub(super) batch: &'static str,
    pub(super) package: &'static str,
}

pub(super) const RUNTIMES: &[Runtime] = &[
    Runtime { name: "tokio", batch: "tokio batch", package: "cluster-tokio" },
    Runtime { name: "smol", batch: "smol batch", package: "cluster-smol" },
];

/// The names of schedules.
const SCHEDULES: &[&str] = &["rr", "none", "sharded", "least-loaded", "power-of-two", "sticky"];

/// A program under test.
pub(super) struct Contender {
    pub(super) name: String,
    program: Program,
    part: Part,
    /// The schedules that it knows.
    pub(super) schedules: Vec<&'static str>,
}

enum Program {
    Executable(PathBuf, Vec<String>),
    Shell(String),
}

/// What a program takes part in.
struct Part {
    /// The schedules that are tried.
    schedules: &'static [&'static str],
    rows: fn(Row) -> bool,
}

impl Part {
    const ALL: Self = Self { schedules: SCHEDULES, rows: |_| true };

    /// Bare system calls know nothing of workers that die or are blocked, of slow clients, nor of a
    /// second request on a connection.
    const RAW: Self = Self {
        schedules: SCHEDULES,
        rows: |row| !matches!(row, Row::Storm | Row::Kinds | Row::Blocked),
    };

    /// Batches make no difference to those who accept for themselves.
    const RAW_BATCH: Self = Self { schedules: &["rr"], ..Self::RAW };

    /// Workers under `SCHED_BATCH` differ in what they cost.
    const BATCH: Self = Self { schedules: &["rr", "sharded"], rows: |row| row == Row::Cost };
}

impl Contender {
    fn new(name: &str, program: Program, part: Part) -> Self {
        Self { name: name.to_owned(), program, part, schedules: Vec::new() }
    }

    /// The command to which the options of the common interface are added.
    pub(super) fn command(&self) -> Command {
        match &self.program {
            Program::Executable(path, args) => {
                let mut command = Command::new(path);
                command.args(args);
                command
            }
            Program::Shell(text) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("exec {text} \"$@\""), "sh"]);
                command
            }
        }
    }

    pub(super) fn is_raw(&self) -> bool {
        [RAW, RAW_BATCH].contains(&self.name.as_str())
    }

    pub(super) fn takes_part(&self, row: Row) -> bool {
        (self.part.rows)(row)
    }

    /// Finds out what this program knows by trying it.
    fn probe(&mut self) {
        let known = |schedule: &&&str| {
            let case = Case { workers: 1, schedule };
            Server::probe(self, case).is_ok()
        };
        self.schedules = self.part.schedules.iter().filter(known).copied().collect();
    }
}

/// All that take part, built, and with the schedules that they know.
pub(super) fn all(place: &Path, options: &Options) -> Result<Vec<Contender>> {
    let mut all = raw()?;
    for Runtime { name, batch, package } in RUNTIMES {
        let http = |args| Program::Executable(build::kept(place, package, "http"), args);
        all.push(Contender::new(name, http(Vec::new()), Part::ALL));
        all.push(Contender::new(batch, http(vec!["--batch".to_owned()]), Part::BATCH));
    }
    if let Some(node) = in_search_path("node") {
        let script = place.join("http.js");
        fs::write(&script, include_str!("node/http.js"))
            .with_context(|| script.display().to_string())?;
        let script = script.display().to_string();
        all.push(Contender::new("node", Program::Executable(node, vec![script]), Part::ALL));
    }
    let peers = options.peer.iter();
    let peer = |it: &Peer| Contender::new(&it.name, Program::Shell(it.command.clone()), Part::ALL);
    all.extend(peers.map(peer));
    let wanted = |it: &Contender| options.rows().any(|row| it.takes_part(row));
    all.retain(|contender| options.admits(&contender.name) && wanted(contender));
    all.iter_mut().for_each(Contender::probe);
    Ok(all)
}

fn raw() -> Result<Vec<Contender>> {
    let own = env::current_exe()?;
    let with = |name, more: &[&str], part| {
        let args = ["bench-raw", "http"].iter().chain(more).map(|arg| (*arg).to_owned());
        Contender::new(name, Program::Executable(own.clone(), args.collect()), part)
    };
    let batch = with(RAW_BATCH, &["--batch"], Part::RAW_BATCH);
    Ok(vec![with(RAW, &[], Part::RAW), batch])
}

pub(super) fn in_search_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn rows(part: Part) -> String {
        let rows = Row::value_variants().iter().copied();
        rows.filter(|row| (part.rows)(*row)).map(Row::letter).collect()
    }

    #[test]
    fn programs_are_left_out_of_rows_that_they_know_nothing_of() {
        assert_eq!(rows(Part::ALL), "abcdefghijk");
        assert_eq!(rows(Part::RAW), "abcdefgi");
        assert_eq!(rows(Part::RAW_BATCH), rows(Part::RAW));
        assert_eq!(rows(Part::BATCH), "a");
    }

    #[test]
    fn schedules_that_are_tried_are_known_by_name() {
        for part in [Part::ALL, Part::RAW, Part::RAW_BATCH, Part::BATCH] {
            assert!(part.schedules.iter().all(|name| SCHEDULES.contains(name)));
        }
    }
}
