//! `cargo xtask bench`: what a cluster costs, next to bare system calls and to others.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo;
use contender::{Contender, Runtime};
use machine::Machine;
use results::Results;
use rows::Row;
use tool::Tool;

mod build;
mod client;
mod contender;
mod cpu;
mod goals;
mod json;
mod machine;
mod memory;
mod options;
mod pace;
mod raw;
mod response;
mod results;
mod rows;
mod server;
mod spread;
mod svg;
mod table;
mod tool;

pub(crate) use options::Options;
pub(crate) use raw::Raw;

/// Builds what is measured in the workspace `root`, measures it, and prints one table.
///
/// That a goal is missed is a finding, not a failure.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        return Err(become_optimised(root)?);
    }
    let machine = Machine::now();
    let bench = Bench::prepare(root, options)?;
    let mut results = Results::default();
    rows::run(&bench, &mut results)?;
    let goals = goals::all(&results);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&json::render(&machine, &results, &goals))?;
        fs::write(file, text + "\n").with_context(|| file.display().to_string())?;
    }
    if let Some(place) = &options.svg {
        svg::draw(&results, place)?;
    }
    let notes: String = results.notes.iter().map(|note| format!("note: {note}\n")).collect();
    let after = Machine::now().load;
    let text = format!(
        "{machine}, in the end {after}\n{}{notes}{}",
        table::render(&results),
        goals::render(&goals)
    );
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Who takes part, and how much is done.
struct Bench<'a> {
    /// Where the programs under test are.
    place: PathBuf,
    options: &'a Options,
    contenders: Vec<Contender>,
}

impl<'a> Bench<'a> {
    fn prepare(root: &Path, options: &'a Options) -> Result<Self> {
        let place = build::place(root)?;
        fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        let names = rows::examples(options);
        for Runtime { name, batch, package } in contender::RUNTIMES {
            if options.admits(name) || options.admits(batch) {
                build::examples(root, package, &names, &place)?;
            }
        }
        let contenders = contender::all(&place, options)?;
        Ok(Self { place, options, contenders })
    }

    /// The programs that take part in `row`.
    fn contenders(&self, row: Row) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(move |contender| contender.takes_part(row))
    }

    /// All forms of the tool `what` that take part.
    fn tools(&self, what: &str) -> Result<Vec<Tool>> {
        Tool::all(what, &self.place, self.options)
    }
}

/// The load and the bare system calls come from this very program, which therefore has to be an
/// optimised one: it goes on as that. Returns only if it cannot.
fn become_optimised(root: &Path) -> Result<anyhow::Error> {
    let program = build::binary(root, "xtask")?;
    let mut command = Command::new(&program);
    command.args(env::args_os().skip(1)).env("CARGO", cargo::program());
    Ok(anyhow::Error::new(command.exec()).context(program.display().to_string()))
}
