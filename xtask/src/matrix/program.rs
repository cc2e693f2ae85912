//! A program that runs tests: an executable of libtest's, or rustdoc for one library.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::contract::{LIMITS, WHOLE_PROGRAM};
use super::libtest;
use super::process;
use super::verdict::{self, Record};
use crate::cargo;

/// A program that runs tests, and what it needs to know.
pub(crate) struct Program {
    /// The package that is tested.
    pub(crate) package: String,
    /// That package's version.
    pub(crate) version: String,
    /// That package's manifest.
    pub(crate) manifest: PathBuf,
    /// The target of the package: a library, a program, an integration test.
    pub(crate) target: String,
    /// The arguments by which `cargo test` selects that target.
    pub(crate) selector: Vec<String>,
    /// What kind of tests they are.
    pub(crate) tests: Tests,
}

/// The kinds of tests, with the executable where cargo has built one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tests {
    /// Tests inside a library, a program or an example.
    Unit(PathBuf),
    /// Tests from outside.
    Integration(PathBuf),
    /// Tests in documentation.
    Doc,
}

/// What came of running a program once.
pub(crate) struct Run {
    /// What became of each test.
    pub(crate) records: Vec<Record>,
    /// From start to end.
    pub(crate) took: Duration,
}

impl Program {
    /// Runs the tests whose name contains `filter`. A program that cannot even be started has
    /// failed like any other.
    pub(crate) fn run(&self, root: &Path, filter: Option<&str>, threads: usize) -> Run {
        let started = Instant::now();
        let run = match &self.tests {
            Tests::Unit(path) | Tests::Integration(path) => self.execute(path, filter, threads),
            Tests::Doc => self.document(root, filter),
        };
        let records = run.unwrap_or_else(|error| {
            vec![Record::failed(WHOLE_PROGRAM, format!("it does not start: {error}"))]
        });
        Run { records, took: started.elapsed() }
    }

    /// The command that runs just the test `name`.
    pub(crate) fn rerun(&self, name: &str) -> String {
        let all =
            format!("cargo test -p {} --all-features {}", self.package, self.selector.join(" "));
        match &self.tests {
            _ if name == WHOLE_PROGRAM => all,
            // Names of tests in documentation have spaces and parentheses.
            Tests::Doc => format!("{all} -- '{name}'"),
            Tests::Unit(_) | Tests::Integration(_) => format!("{all} -- --exact {name}"),
        }
    }

    fn execute(
        &self,
        executable: &Path,
        filter: Option<&str>,
        threads: usize,
    ) -> io::Result<Vec<Record>> {
        let mut list = self.command(executable);
        list.arg("--list").args(filter);
        let list = process::run(list, LIMITS)?;
        let Some(names) = libtest::parse_list(&list.stdout).filter(|_| list.is_success()) else {
            let what = format!("it does not list its tests as libtest does\n{}", list.describe());
            return Ok(vec![Record::failed(WHOLE_PROGRAM, what)]);
        };
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command(executable);
        command.args(filter).args(["--color", "never"]);
        command.args(["--test-threads", &threads.to_string()]);
        Ok(verdict::judge(Some(&names), &process::run(command, LIMITS)?))
    }

    fn document(&self, root: &Path, filter: Option<&str>) -> io::Result<Vec<Record>> {
        let mut command = cargo::cargo(root);
        command.args(["test", "--all-features", "-p", &self.package]).args(&self.selector);
        command.arg("--").args(filter).args(["--color", "never"]);
        Ok(verdict::judge(None, &process::run(command, LIMITS)?))
    }

    /// The executable as `cargo test` would start it. The search path for shared libraries is
    /// the one that `cargo run` has given this program.
    fn command(&self, executable: &Path) -> Command {
        let mut command = Command::new(executable);
        cargo::forget_outer(&mut command);
        let folder = self.manifest.parent().unwrap_or(Path::new("."));
        command
            .current_dir(folder)
            .env("CARGO", cargo::program())
            .env("CARGO_MANIFEST_DIR", folder)
            .env("CARGO_MANIFEST_PATH", &self.manifest)
            .env("CARGO_PKG_NAME", &self.package)
            .env("CARGO_PKG_VERSION", &self.version);
        command
    }
}

/// The package and the target, as in `cluster-tests test tokio_current`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.selector.join(" ").trim_start_matches('-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(selector: &[&str], tests: Tests) -> Program {
        Program {
            package: "a".to_owned(),
            version: "0.1.0".to_owned(),
            manifest: "/nowhere/Cargo.toml".into(),
            target: "b".to_owned(),
            selector: selector.iter().map(|part| (*part).to_owned()).collect(),
            tests,
        }
    }

    #[test]
    fn each_kind_of_test_can_be_run_again_alone() {
        let test = program(&["--test", "b"], Tests::Integration("/nowhere/b".into()));
        assert_eq!(test.rerun("c::d"), "cargo test -p a --all-features --test b -- --exact c::d");
        assert_eq!(test.rerun(WHOLE_PROGRAM), "cargo test -p a --all-features --test b");
        assert_eq!(test.to_string(), "a test b");
        let doc = program(&["--doc"], Tests::Doc);
        let name = "a/src/lib.rs - c (line 7)";
        assert_eq!(doc.rerun(name), format!("cargo test -p a --all-features --doc -- '{name}'"));
    }

    #[test]
    fn a_program_that_does_not_start_has_failed() {
        let lost = program(&["--lib"], Tests::Unit("/nowhere/b".into()));
        let run = lost.run(Path::new("/"), None, 1);
        assert_eq!(run.records.len(), 1);
        assert_eq!(run.records[0].name, WHOLE_PROGRAM);
    }
}
