//! All that has been found out, for people and for machines.

use std::collections::BTreeMap;

use serde::Serialize;

use super::contract::{self, Column, Row};
use super::program::{Program, Run};
use super::table;
use super::verdict::{Outcome, Record, Tally};

/// The results of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rounds: u32,
    filter: Option<String>,
    total: Tally,
    tests: Vec<Test>,
    programs: Vec<Timing>,
}

/// One test in one round.
#[derive(Debug, Serialize)]
struct Test {
    round: u32,
    package: String,
    binary: String,
    row: Row,
    column: Column,
    #[serde(flatten)]
    record: Record,
    rerun: String,
}

/// One program in one round.
#[derive(Debug, Serialize)]
struct Timing {
    round: u32,
    package: String,
    binary: String,
    kind: String,
    seconds: f64,
}

impl Report {
    /// A report on `rounds` rounds of the tests whose name contains `filter`.
    pub(crate) fn new(filter: Option<String>, rounds: u32) -> Self {
        let (tests, programs) = (Vec::new(), Vec::new());
        Self { rounds, filter, total: Tally::default(), tests, programs }
    }

    /// Adds what `programs` did in `round`.
    pub(crate) fn add(&mut self, round: u32, programs: &[Program], runs: Vec<Run>) {
        for (program, run) in programs.iter().zip(runs) {
            let (package, binary) = (&program.package, &program.target);
            self.programs.push(Timing {
                round,
                package: package.clone(),
                binary: binary.clone(),
                kind: program.selector[0].trim_start_matches('-').to_owned(),
                seconds: run.took.as_secs_f64(),
            });
            for record in run.records {
                self.total.add(&record.outcome);
                let (row, column) = contract::place(program, &record.name);
                let rerun = program.rerun(&record.name);
                let (package, binary) = (package.clone(), binary.clone());
                self.tests.push(Test { round, package, binary, row, column, record, rerun });
            }
        }
    }

    /// Whether something was proved and nothing failed.
    pub(crate) fn is_success(&self) -> bool {
        self.total.passed > 0 && self.total.failed == 0
    }

    /// The table, then what failed, then what was skipped, and the closing line.
    pub(crate) fn render(&self) -> String {
        let mut cells: BTreeMap<(Row, Column), Tally> = BTreeMap::new();
        for test in &self.tests {
            let place = (test.row.clone(), test.column.clone());
            cells.entry(place).or_default().add(&test.record.outcome);
        }
        let mut text = table::render(&cells);
        self.tests.iter().for_each(|test| text += &self.render_failure(test));
        self.tests.iter().for_each(|test| text += &self.render_skip(test));
        if self.total.passed + self.total.failed == 0 {
            text += &match &self.filter {
                Some(filter) => format!("no test that runs has `{filter}` in its name\n\n"),
                None => "there is no test that runs\n\n".to_owned(),
            };
        } else {
            text += "\n";
        }
        text + &self.closing_line() + "\n"
    }

    fn render_failure(&self, test: &Test) -> String {
        let Outcome::Failed { output } = &test.record.outcome else { return String::new() };
        let mut text = format!("\nFAILED {}\n  {}\n", self.name(test), test.rerun);
        for line in output.trim_end().lines() {
            text += format!("  | {line}").trim_end();
            text += "\n";
        }
        text
    }

    fn render_skip(&self, test: &Test) -> String {
        let Outcome::Ignored { reason } = &test.record.outcome else { return String::new() };
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("\nskipped {}{reason}\n", self.name(test))
    }

    fn name(&self, test: &Test) -> String {
        let Test { round, package, binary, record, .. } = test;
        let round = match self.rounds {
            1 => String::new(),
            rounds => format!(" (round {round} of {rounds})"),
        };
        format!("{package} {binary} {}{round}", record.name)
    }

    fn closing_line(&self) -> String {
        let Tally { passed, failed, skipped } = self.total;
        match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}
