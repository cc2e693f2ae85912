//! The programs that are compared: they take the same options and print the same lines.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::build;
use super::options::Options;
use super::server::{Case, Server};

/// Bare system calls, one descriptor a message.
pub(super) const RAW: &str = "raw";

/// Bare system calls, as many descriptors a message as have come together.
pub(super) const RAW_BATCH: &str = "raw batch";

/// The packages with runtimes, and what they are called here.
pub(super) const RUNTIMES: &[(&str, &str)] =
    &[("tokio", "cluster-tokio"), ("smol", "cluster-smol")];

/// The names of schedules that are tried.
const SCHEDULES: &[&str] = &["rr", "none", "sharded", "least-loaded", "power-of-two", "sticky"];

/// A program under test.
pub(super) struct Contender {
    pub(super) name: String,
    program: Program,
    /// The schedules that it knows.
    pub(super) schedules: Vec<&'static str>,
}

enum Program {
    Executable(PathBuf, Vec<String>),
    Shell(String),
}

impl Contender {
    fn new(name: &str, program: Program) -> Self {
        Self { name: name.to_owned(), program, schedules: Vec::new() }
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

    /// Finds out what this program knows by trying it.
    fn probe(&mut self) {
        // Batches make no difference to those who accept for themselves.
        let tried = if self.name == RAW_BATCH { &SCHEDULES[..1] } else { SCHEDULES };
        let known = |schedule: &&&str| {
            let case = Case { workers: 1, schedule };
            Server::probe(self, case).is_ok()
        };
        self.schedules = tried.iter().filter(known).copied().collect();
    }
}

/// All that take part, built, and with the schedules that they know.
pub(super) fn all(place: &Path, options: &Options) -> Result<Vec<Contender>> {
    let mut all = raw()?;
    for (name, package) in RUNTIMES {
        if options.admits(name) {
            let path = build::kept(place, package, "http");
            all.push(Contender::new(name, Program::Executable(path, Vec::new())));
        }
    }
    if let Some(node) = in_search_path("node") {
        let script = place.join("http.js");
        fs::write(&script, include_str!("node/http.js"))
            .with_context(|| script.display().to_string())?;
        let script = script.display().to_string();
        all.push(Contender::new("node", Program::Executable(node, vec![script])));
    }
    let peers = options.peer.iter();
    all.extend(peers.map(|peer| Contender::new(&peer.name, Program::Shell(peer.command.clone()))));
    all.retain(|contender| options.admits(&contender.name));
    all.iter_mut().for_each(Contender::probe);
    Ok(all)
}

fn raw() -> Result<Vec<Contender>> {
    let own = env::current_exe()?;
    let with = |name, more: &[&str]| {
        let args = ["bench-raw", "http"].iter().chain(more).map(|arg| (*arg).to_owned());
        Contender::new(name, Program::Executable(own.clone(), args.collect()))
    };
    Ok(vec![with(RAW, &[]), with(RAW_BATCH, &["--batch"])])
}

pub(super) fn in_search_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
