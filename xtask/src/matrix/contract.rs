//! What the matrix takes for granted: names, limits, and where in the table a test belongs.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::process::Limits;
use super::program::{Program, Tests};

/// The package whose integration tests are the conformance suite. Each of its test executables
/// is a flavour (a provider to test), each of its tests is named `schedule::group::scenario`.
const CONFORMANCE_PACKAGE: &str = "cluster-tests";

/// The runtimes whose examples the conformance package tests, too. Each of these tests is named
/// `runtime::example::promise`.
pub(crate) const RUNTIMES: &[&str] = &["tokio", "smol"];

/// The package of a runtime, and the folder in the target folder where the tests have its
/// examples: not the one of all packages, in which the examples of two may not have one name.
pub(crate) fn examples(runtime: &str) -> (String, String) {
    (format!("cluster-{runtime}"), format!("{runtime}-examples"))
}

/// How long an executable, or a library's documentation, may test before it counts as hanging,
/// and how long what it has started may then go on holding its output.
pub(crate) const LIMITS: Limits =
    Limits { program: Duration::from_secs(20 * 60), leftover: Duration::from_secs(5) };

/// Stands for the test's name where the executable as a whole has failed.
pub(crate) const WHOLE_PROGRAM: &str = "(executable)";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// A crate of the workspace.
    Crate(String),
    /// A group of scenarios of the conformance suite, or an example.
    Group(String),
}

/// A column of the table, in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// Unit tests of libraries, programs and examples.
    Unit,
    /// Tests in documentation.
    Doc,
    /// Integration tests of a crate.
    Integration,
    /// The conformance suite on one provider under one schedule.
    Flavour {
        /// The test executable.
        binary: String,
        /// Who gets the next connection.
        schedule: String,
    },
    /// The examples of this runtime.
    Examples(String),
}

/// Where the test `name` of `program` is counted.
pub(crate) fn place(program: &Program, name: &str) -> (Row, Column) {
    let package = || Row::Crate(program.package.clone());
    match program.tests {
        Tests::Unit(_) => (package(), Column::Unit),
        Tests::Doc => (package(), Column::Doc),
        Tests::Integration(_) if program.package == CONFORMANCE_PACKAGE => match scenario(name) {
            Some((runtime, example)) if RUNTIMES.contains(&runtime) => {
                (Row::Group(example.to_owned()), Column::Examples(runtime.to_owned()))
            }
            Some((schedule, group)) => {
                let (binary, schedule) = (program.target.clone(), schedule.to_owned());
                (Row::Group(group.to_owned()), Column::Flavour { binary, schedule })
            }
            None => (Row::Group(program.target.clone()), Column::Integration),
        },
        Tests::Integration(_) => (package(), Column::Integration),
    }
}

/// The schedule and the group of a conformance test, or the runtime and the name of an example;
/// other tests have other names.
fn scenario(name: &str) -> Option<(&str, &str)> {
    match *name.split("::").collect::<Vec<_>>() {
        [schedule, group, _] => Some((schedule, group)),
        _ => None,
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crate(name) | Self::Group(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit => f.write_str("unit"),
            Self::Doc => f.write_str("doc"),
            Self::Integration => f.write_str("integration"),
            Self::Flavour { binary, schedule } => write!(f, "{binary} {schedule}"),
            Self::Examples(runtime) => write!(f, "{runtime} examples"),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_named_by_schedule_and_group() {
        assert_eq!(scenario("rr::lifecycle::basic"), Some(("rr", "lifecycle")));
        assert_eq!(scenario("fixtures::build"), None);
        assert_eq!(scenario("rr::lifecycle::basic::deep"), None);
        assert_eq!(scenario(WHOLE_PROGRAM), None);
    }

    #[test]
    fn examples_have_a_column_for_each_runtime() {
        let program = Program {
            package: CONFORMANCE_PACKAGE.to_owned(),
            version: "0.1.0".to_owned(),
            manifest: "/nowhere/Cargo.toml".into(),
            target: "patterns".to_owned(),
            selector: Vec::new(),
            tests: Tests::Integration("/nowhere/patterns".into()),
        };
        let row = Row::Group("graceful".to_owned());
        let column = Column::Examples("smol".to_owned());
        assert_eq!(place(&program, "smol::graceful::promise"), (row.clone(), column));
        let (binary, schedule) = ("patterns".to_owned(), "rr".to_owned());
        let column = Column::Flavour { binary, schedule };
        assert_eq!(place(&program, "rr::graceful::promise"), (row, column));
    }
}
