//! What a program said about its tests, held against how it ended.

use serde::Serialize;

use super::contract::WHOLE_PROGRAM;
use super::libtest::{Transcript, Verdict};
use super::process::Finished;

/// One test and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// The test's name within its program.
    pub(crate) name: String,
    /// What became of it.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It has proved something.
    Passed,
    /// It has not, or nobody knows.
    Failed {
        /// What it, or the whole program, wrote.
        output: String,
    },
    /// It was not run.
    Ignored {
        /// Why not.
        reason: Option<String>,
    },
}

impl Record {
    /// The test `name` has failed.
    pub(crate) fn failed(name: &str, output: String) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Failed { output } }
    }
}

/// How many of some tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that were ignored.
    pub(crate) skipped: usize,
}

impl Tally {
    /// Counts `records`.
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut tally = Self::default();
        records.into_iter().for_each(|record| tally.add(&record.outcome));
        tally
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Ignored { .. } => self.skipped += 1,
        }
    }
}

/// What became of each test of a program that has `finished`. Without the names of its tests,
/// the ones it spoke of are all that are known.
pub(crate) fn judge(listed: Option<&[String]>, finished: &Finished) -> Vec<Record> {
    let transcript = Transcript::parse(&finished.stdout);
    let spoken = || transcript.verdicts.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<String> = listed.map_or_else(spoken, <[String]>::to_vec);

    let mut silent = false;
    let mut records = Vec::new();
    for name in names {
        let verdict = transcript.verdicts.iter().find(|(known, _)| *known == name);
        let outcome = match verdict.map(|(_, verdict)| verdict) {
            Some(Verdict::Passed) => Outcome::Passed,
            Some(Verdict::Ignored(reason)) => Outcome::Ignored { reason: reason.clone() },
            Some(Verdict::Failed) => {
                let output = transcript.outputs.get(&name).cloned().unwrap_or_default();
                Outcome::Failed { output }
            }
            None => {
                // The first such test shows the program's output, the others would repeat it.
                let output = if silent { finished.ending() } else { finished.describe() };
                silent = true;
                Outcome::Failed { output: format!("no verdict: {output}") }
            }
        };
        records.push(Record { name, outcome });
    }
    if !silent && let Some(what) = contradiction(&records, &transcript, finished) {
        let output = format!("{what}: {}", finished.describe());
        records.push(Record::failed(WHOLE_PROGRAM, output));
    }
    records
}

/// What is wrong with a program as a whole, each of its tests having its verdict.
fn contradiction(
    records: &[Record],
    transcript: &Transcript,
    finished: &Finished,
) -> Option<&'static str> {
    /// What libtest, and cargo after it, exit with when a test has failed.
    const SOME_FAILED: i32 = 101;

    let Tally { passed, failed, skipped } = Tally::of(records);
    let expected = if failed > 0 { SOME_FAILED } else { 0 };
    if finished.status.and_then(|status| status.code()) != Some(expected) {
        return Some("its end contradicts its verdicts");
    }
    if failed == 0 && transcript.summary != [passed, failed, skipped] {
        return Some("its summary contradicts its verdicts");
    }
    finished.left_behind.then_some("it left processes behind that held its output")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    const GOOD: &str = "running 2 tests\ntest a ... ok\ntest b ... ok\n\
                        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";
    const BAD: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\nfailures:\n\
                       ---- b stdout ----\nboom\nfailures:\n    b\n\
                       test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured\n";
    const CUT: &str = "running 2 tests\ntest a ... ok\n";

    fn finished(stdout: &str, status: Option<i32>) -> Finished {
        Finished {
            status: status.map(ExitStatus::from_raw),
            stdout: stdout.to_owned(),
            stderr: "last words".to_owned(),
            left_behind: false,
            took: Duration::from_secs(1),
        }
    }

    fn judged(finished: &Finished) -> Vec<Record> {
        judge(Some(&["a".to_owned(), "b".to_owned()]), finished)
    }

    fn passed(name: &str) -> Record {
        Record { name: name.to_owned(), outcome: Outcome::Passed }
    }

    /// The record of `name`, which must have failed and shown `part`.
    fn assert_failed(records: &[Record], name: &str, part: &str) {
        let record = records.iter().find(|record| record.name == name);
        let outcome = record.map(|record| &record.outcome);
        let shown = matches!(outcome, Some(Outcome::Failed { output }) if output.contains(part));
        assert!(shown, "{records:?}");
    }

    #[test]
    fn verdicts_that_agree_with_the_end_stand() {
        assert_eq!(judged(&finished(GOOD, Some(0))), [passed("a"), passed("b")]);
        let bad = finished(BAD, Some(101 << 8));
        assert_eq!(judged(&bad), [passed("a"), Record::failed("b", "boom\n".to_owned())]);
        assert_eq!(judge(None, &bad), judged(&bad));
    }

    #[test]
    fn a_test_without_a_verdict_has_failed() {
        for (status, how) in [(Some(6), "signal: 6"), (Some(0), "status: 0"), (None, "killed")] {
            let records = judged(&finished(CUT, status));
            assert_eq!(records.len(), 2);
            assert_failed(&records, "b", how);
            assert_failed(&records, "b", "last words");
        }
    }

    #[test]
    fn an_end_that_contradicts_the_verdicts_is_a_failure() {
        for (stdout, status) in
            [(GOOD, Some(101 << 8)), (GOOD, Some(9)), (GOOD, None), (BAD, Some(0))]
        {
            let records = judged(&finished(stdout, status));
            assert_eq!(records.len(), 3);
            assert_failed(&records, WHOLE_PROGRAM, "last words");
        }
    }

    #[test]
    fn a_summary_that_contradicts_the_verdicts_is_a_failure() {
        let torn = GOOD.replace("2 passed", "3 passed");
        assert_failed(&judged(&finished(&torn, Some(0))), WHOLE_PROGRAM, "summary");
    }

    #[test]
    fn processes_left_behind_are_a_failure() {
        let left = Finished { left_behind: true, ..finished(GOOD, Some(0)) };
        assert_failed(&judged(&left), WHOLE_PROGRAM, "behind");
    }
}
