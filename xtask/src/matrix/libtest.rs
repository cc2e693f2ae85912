//! What a test executable says about its tests.

use std::collections::HashMap;

/// What libtest wrote, read.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// Each test with its verdict, in the order in which they came.
    pub(crate) verdicts: Vec<(String, Verdict)>,
    /// What failed tests wrote, by name.
    pub(crate) outputs: HashMap<String, String>,
    /// The numbers of passed, failed and ignored tests that libtest itself counted.
    pub(crate) summary: [usize; 3],
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `ok`
    Passed,
    /// `FAILED`
    Failed,
    /// `ignored`, with its reason where one is given.
    Ignored(Option<String>),
}

/// The names in `listing`, the output of `--list`; `None` if libtest did not write it.
pub(crate) fn parse_list(listing: &str) -> Option<Vec<String>> {
    let tests = listing.lines().filter_map(|line| line.strip_suffix(": test"));
    let names: Vec<String> = tests.map(str::to_owned).collect();
    let count = listing.lines().last()?.split_once(" test")?.0.parse::<usize>().ok()?;
    (count == names.len()).then_some(names)
}

impl Transcript {
    /// Reads the standard output of one run, or of several in a row (as documentation has).
    /// Whatever else was written to it, for example by processes that tests have started, is
    /// passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut transcript = Self::default();
        let mut part = Part::Before;
        for line in text.lines() {
            part = transcript.read(part, line);
        }
        transcript
    }

    fn read(&mut self, part: Part, line: &str) -> Part {
        match part {
            Part::Before if is_start(line) => Part::Verdicts { waiting: None },
            Part::Before => Part::Before,
            Part::Verdicts { .. } | Part::Failures { .. } if line == "failures:" => {
                Part::Failures { name: None }
            }
            // While a test's output is being read, what looks like a summary is part of it.
            Part::Verdicts { .. } | Part::Failures { name: None } if self.read_summary(line) => {
                Part::Before
            }
            Part::Verdicts { waiting } => {
                Part::Verdicts { waiting: self.read_verdict(waiting, line) }
            }
            Part::Failures { name } => Part::Failures { name: self.read_failure(name, line) },
        }
    }

    fn read_summary(&mut self, line: &str) -> bool {
        let Some(counts) = parse_summary(line) else { return false };
        for (sum, count) in self.summary.iter_mut().zip(counts) {
            *sum += count;
        }
        true
    }

    /// Reads a line among the verdicts. A name and its verdict may be torn apart by what others
    /// write in between: the name then waits.
    fn read_verdict(&mut self, waiting: Option<String>, line: &str) -> Option<String> {
        match parse_test(line) {
            Some((name, Some(verdict))) => {
                self.verdicts.push((name, verdict));
                waiting
            }
            Some((name, None)) => Some(name),
            None => match (waiting, parse_verdict(line)) {
                (Some(name), Some(verdict)) => {
                    self.verdicts.push((name, verdict));
                    None
                }
                (waiting, _) => waiting,
            },
        }
    }

    /// Reads a line among what failed tests wrote, the current one being `name`.
    fn read_failure(&mut self, name: Option<String>, line: &str) -> Option<String> {
        let header = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(next) = header {
            return Some(next.to_owned());
        }
        let name = name?;
        let output = self.outputs.entry(name.clone()).or_default();
        output.push_str(line);
        output.push('\n');
        Some(name)
    }
}

/// What is being read.
enum Part {
    Before,
    Verdicts { waiting: Option<String> },
    Failures { name: Option<String> },
}

/// `running 3 tests`
fn is_start(line: &str) -> bool {
    line.strip_prefix("running ").is_some_and(|rest| rest.contains(" test"))
}

/// `test NAME ... VERDICT`, possibly behind something that did not end its line.
fn parse_test(line: &str) -> Option<(String, Option<Verdict>)> {
    const TEST: &str = "test ";
    let start = if line.starts_with(TEST) { 0 } else { line.find(TEST)? };
    let (name, verdict) = line[start + TEST.len()..].split_once(" ... ")?;
    let modes = [" - should panic", " - compile fail", " - compile"];
    let bare = modes.iter().find_map(|mode| name.strip_suffix(mode)).unwrap_or(name);
    Some((bare.to_owned(), parse_verdict(verdict)))
}

/// `ok`, `FAILED` or `ignored, REASON`, possibly with something behind it.
fn parse_verdict(text: &str) -> Option<Verdict> {
    if text.starts_with("ok") {
        return Some(Verdict::Passed);
    }
    if text.starts_with("FAILED") {
        return Some(Verdict::Failed);
    }
    let rest = text.strip_prefix("ignored")?;
    Some(Verdict::Ignored(rest.strip_prefix(", ").map(str::to_owned)))
}

/// `test result: ok. 3 passed; 1 failed; 0 ignored; …`
fn parse_summary(line: &str) -> Option<[usize; 3]> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut count = |what: &str| counts.next()?.strip_suffix(what)?.parse().ok();
    Some([count(" passed")?, count(" failed")?, count(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "
running 4 tests
test a::slow ... ignored, takes a day
test a::good ... ok
test a::loud - should panic ... ok
test a::bad ... FAILED

failures:

---- a::bad stdout ----
hello
test a::good ... FAILED

thread 'a::bad' panicked at src/lib.rs:3:5

failures:
    a::bad

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn verdict(transcript: &Transcript, name: &str) -> Option<Verdict> {
        let mut verdicts = transcript.verdicts.iter();
        verdicts.find(|(known, _)| known == name).map(|(_, verdict)| verdict.clone())
    }

    #[test]
    fn verdicts_outputs_and_summary_are_read() {
        let transcript = Transcript::parse(USUAL);
        let reason = Some("takes a day".to_owned());
        assert_eq!(transcript.verdicts.len(), 4);
        assert_eq!(verdict(&transcript, "a::slow"), Some(Verdict::Ignored(reason)));
        assert_eq!(verdict(&transcript, "a::good"), Some(Verdict::Passed));
        assert_eq!(verdict(&transcript, "a::loud"), Some(Verdict::Passed));
        assert_eq!(verdict(&transcript, "a::bad"), Some(Verdict::Failed));
        assert_eq!(transcript.summary, [2, 1, 1]);
        let output = &transcript.outputs["a::bad"];
        assert!(output.starts_with("hello\n") && output.contains("panicked"), "{output}");
        assert!(!output.contains("test result"), "{output}");
    }

    #[test]
    fn documentation_runs_in_several_parts() {
        let part = "running 1 test\ntest a/src/lib.rs - A::b (line 7) ... ok\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        let other = part.replace("b (line 7)", "c (line 9) - compile fail");
        let transcript = Transcript::parse(&format!("{part}\n{other}"));
        let names: Vec<_> = transcript.verdicts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/src/lib.rs - A::b (line 7)", "a/src/lib.rs - A::c (line 9)"]);
        assert_eq!(transcript.summary, [2, 0, 0]);
    }

    #[test]
    fn what_others_write_in_between_does_no_harm() {
        let text = "running 3 tests\nworker up; test a ... ok\ntest b ... worker down\nok\n\
                    test c has been running for over 60 seconds\ntest c ... FAILEDbye\n";
        let transcript = Transcript::parse(text);
        assert_eq!(verdict(&transcript, "a"), Some(Verdict::Passed));
        assert_eq!(verdict(&transcript, "b"), Some(Verdict::Passed));
        assert_eq!(verdict(&transcript, "c"), Some(Verdict::Failed));
    }

    #[test]
    fn only_a_list_of_libtest_is_one() {
        let listing = "a::b: test\nc: test\n\n2 tests, 0 benchmarks\n";
        assert_eq!(parse_list(listing), Some(vec!["a::b".to_owned(), "c".to_owned()]));
        assert_eq!(parse_list("0 tests, 0 benchmarks\n"), Some(vec![]));
        assert_eq!(parse_list("a::b: test\n\n2 tests, 0 benchmarks\n"), None);
        assert_eq!(parse_list("hello\n"), None);
        assert_eq!(parse_list(""), None);
    }
}
