//! The table of scenarios says what proves each of them, and says it truly.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::source::{Source, enclosed};
use super::tree::{Tree, Violation};

/// Where it says so.
const TABLE: &str = "tests/SCENARIOS.md";

/// The conformance suite: its tests are named by the scenarios that they prove.
const SUITE: &str = "tests/suite/";

/// What every test of the suite takes, and nothing besides.
const SCENE: &str = "Scene";

/// What every test takes that is made for each runtime, and nothing besides.
const RUNTIME: &str = "Runtime";

/// Who else proves scenarios, and what the paths of those tests begin with.
const PLACES: &[(&str, &str)] = &[
    ("core", "cluster-core/"),
    ("ipc", "cluster-ipc/"),
    ("sys", "cluster-sys/"),
    ("http", "tests/tests/http"),
    ("patterns", "tests/tests/patterns"),
];

/// What the table says is proved, is proved by a test that is there, and by the suite where the
/// suite has that test.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    held(tree, fs::read_to_string(tree.root.join(TABLE)))
}

fn held(tree: &Tree, table: io::Result<String>) -> Vec<Violation> {
    let proofs = Proofs::of(tree);
    let table = match table {
        Ok(table) => table,
        // Where there is no suite, there is nothing to say about it.
        Err(_) if !proofs.suite_exists => return Vec::new(),
        Err(error) => return vec![at(1, format!("cannot be read: {error}"))],
    };
    let mut listed = BTreeSet::new();
    let mut violations = Vec::new();
    let lines = (1..).zip(table.lines()).filter(|(_, line)| line.starts_with('|'));
    for (number, line) in lines.filter(|(_, line)| !is_heading(line)) {
        match Row::parse(line) {
            Ok(row) if !listed.insert(row.id) => {
                violations.push(at(number, format!("`{}` is listed twice", row.id)));
            }
            Ok(row) => {
                violations.extend(proofs.wrong_with(&row).into_iter().map(|what| at(number, what)));
            }
            Err(what) => violations.push(at(number, what)),
        }
    }
    violations
}

fn at(line: usize, what: String) -> Violation {
    Violation { path: TABLE.to_owned(), line, what }
}

/// Whether a line is the head of a table, or the rule below it.
fn is_heading(line: &str) -> bool {
    line.starts_with("| id |") || line.chars().all(|it| ['|', '-'].contains(&it))
}

/// A scenario.
struct Row<'a> {
    id: &'a str,
    mark: Mark<'a>,
}

/// What proves a scenario.
enum Mark<'a> {
    /// The suite, by a test of its name.
    Suite,
    /// Tests elsewhere: the places, and the tests' names.
    Elsewhere(Vec<(&'a str, &'a str)>),
    /// Nothing, now or ever.
    Nothing,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, behaviour, mark] = cells[..] else {
            return Err(format!("{} columns, three are needed", cells.len()));
        };
        let id = quoted(id).ok_or_else(|| format!("{id:?} is no id in backticks"))?;
        if behaviour.is_empty() {
            return Err(format!("`{id}` says nothing"));
        }
        let mark = Mark::parse(mark).ok_or_else(|| format!("{mark:?} is no mark"))?;
        Ok(Self { id, mark })
    }
}

impl<'a> Mark<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        match text {
            "suite" => return Some(Self::Suite),
            "open" => return Some(Self::Nothing),
            _ => {}
        }
        if let Some(reason) = text.strip_prefix("n/a:") {
            return (!reason.is_empty()).then_some(Self::Nothing);
        }
        let mut tests = Vec::new();
        for part in text.split("; ") {
            let (place, names) = part.split_once(' ')?;
            for name in names.split(", ") {
                tests.push((place, quoted(name)?));
            }
        }
        let known = |(place, _): &(&str, _)| PLACES.iter().any(|(name, _)| name == place);
        tests.iter().all(known).then_some(Self::Elsewhere(tests))
    }
}

/// A name in backticks.
fn quoted(text: &str) -> Option<&str> {
    let name = text.strip_prefix('`')?.strip_suffix('`')?;
    (!name.is_empty() && !name.contains('`')).then_some(name)
}

/// The tests that the tree has.
struct Proofs<'a> {
    suite_exists: bool,
    suite: BTreeSet<&'a str>,
    /// Places, and the names of tests there.
    elsewhere: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Proofs<'a> {
    fn of(tree: &'a Tree) -> Self {
        let mut found =
            Self { suite_exists: false, suite: BTreeSet::new(), elsewhere: BTreeSet::new() };
        for source in &tree.sources {
            if source.path.starts_with(SUITE) {
                found.suite_exists = true;
                found.suite.extend(taking(SCENE, source));
            }
            for (place, _) in PLACES.iter().filter(|(_, path)| source.path.starts_with(path)) {
                let tests = tests(source).into_iter().chain(taking(RUNTIME, source));
                found.elsewhere.extend(tests.map(|name| (*place, name)));
            }
        }
        found
    }

    fn wrong_with(&self, row: &Row<'_>) -> Vec<String> {
        let id = row.id;
        let mut wrong = Vec::new();
        match &row.mark {
            Mark::Suite if self.suite.contains(id) => {}
            Mark::Suite => wrong.push(format!("the suite has no test `{id}`")),
            _ if self.suite.contains(id) => {
                wrong.push(format!("the suite has a test `{id}`, so it is to be marked `suite`"));
            }
            Mark::Nothing => {}
            Mark::Elsewhere(tests) => {
                let missing = tests.iter().filter(|test| !self.elsewhere.contains(*test));
                wrong.extend(missing.map(|(place, test)| format!("{place} has no test `{test}`")));
            }
        }
        wrong
    }
}

/// The functions that take this and nothing else: macros make tests of them.
fn taking<'a>(what: &str, source: &'a Source) -> Vec<&'a str> {
    let texts: Vec<&str> = source.lexemes().map(|(_, text)| text).collect();
    let functions = (0..texts.len()).filter(|at| texts[*at] == "fn");
    let takes_it = |at: &usize| {
        texts.get(at + 2) == Some(&"(")
            && matches!(enclosed(&texts[at + 2..]), [_, ":", taken] if *taken == what)
    };
    functions.filter(takes_it).map(|at| texts[at + 1]).collect()
}

/// The functions that are declared as tests, those inside macros included.
fn tests(source: &Source) -> Vec<&str> {
    let texts: Vec<&str> = source.lexemes().map(|(_, text)| text).collect();
    let attributes = (0..texts.len()).filter(|at| texts[*at..].starts_with(&["test", "]"]));
    attributes
        .filter_map(|at| {
            let function = texts[at..].iter().position(|text| *text == "fn")?;
            texts.get(at + function + 1).copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE_OF_TWO: (&str, &str) = (
        "tests/suite/a.rs",
        "pub(crate) async fn one(scene: Scene) {}\npub(crate) async fn other(_: Scene) {}\n",
    );

    const HEAD: &str = "Says.\n\n| id | behaviour | where |\n|---|---|---|\n";

    /// What is wrong with a table of these rows, which begin on line 5.
    fn found(rows: &str, files: &[(&str, &str)]) -> Vec<(usize, String)> {
        let tree = Tree::planted(&[&[SUITE_OF_TWO], files].concat());
        let found = held(&tree, Ok(format!("{HEAD}{rows}")));
        assert!(found.iter().all(|it| it.path == TABLE));
        found.into_iter().map(|it| (it.line, it.what)).collect()
    }

    fn one(what: &str) -> Vec<(usize, String)> {
        vec![(5, what.to_owned())]
    }

    #[test]
    fn what_a_test_of_the_suite_proves_is_marked_so() {
        assert_eq!(found("| `one` | Works. | suite |\n| `other` | Too. | suite |\n", &[]), []);
        for mark in ["open", "n/a: no reason", "core `a`"] {
            let wrong = one("the suite has a test `one`, so it is to be marked `suite`");
            assert_eq!(found(&format!("| `one` | Works. | {mark} |\n"), &[]), wrong);
        }
    }

    #[test]
    fn what_only_looks_like_a_test_of_the_suite_is_none() {
        let text = "impl Stage { async fn method(&self, scene: Scene) {} }\n\
                    // fn method(scene: Scene)\nconst A: &str = \"fn method(_: Scene)\";\n\
                    type B = fn(); fn method(_: Stage) {} fn method<S>(scene: Scene) {}";
        let row = "| `method` | Works. | suite |\n";
        let wrong = one("the suite has no test `method`");
        assert_eq!(found(row, &[("tests/suite/support/stage.rs", text)]), wrong);
        let test = "pub(crate) async fn method(scene: Scene) {}";
        assert_eq!(found(row, &[("tests/tests/a.rs", test)]), wrong);
        assert_eq!(found(row, &[("tests/suite/deep/b.rs", test)]), []);
    }

    #[test]
    fn what_is_proved_elsewhere_is_proved_there() {
        let row = "| `third` | Works. | core `a`, `b`; sys `c` |\n";
        let core =
            ("cluster-core/tests/x.rs", "#[test]\nfn a() {}\n#[tokio::test]\nasync fn b() {}");
        let sys = ("cluster-sys/src/x.rs", "proptest! { #[test] #[other] fn c(d in e()) {} }");
        assert_eq!(found(row, &[core, sys]), []);
        let helpers = ("cluster-sys/src/x.rs", "#[cfg(test)] mod tests { fn c() {} }");
        assert_eq!(found(row, &[core, helpers]), one("sys has no test `c`"));
        let elsewhere = ("cluster-ipc/src/x.rs", sys.1);
        assert_eq!(found(row, &[core, elsewhere]), one("sys has no test `c`"));
        let all = ["core has no test `a`", "core has no test `b`", "sys has no test `c`"];
        assert_eq!(found(row, &[]), all.map(|it| (5, it.to_owned())));
    }

    #[test]
    fn what_is_proved_on_each_runtime_is_proved() {
        let row = "| `third` | Works. | http `a` |\n";
        let test = "pub(crate) fn a(runtime: Runtime) {}";
        assert_eq!(found(row, &[("tests/tests/http/http.rs", test)]), []);
        let helper = "fn a(runtime: Runtime, folder: &Folder) {}";
        let wrong = one("http has no test `a`");
        assert_eq!(found(row, &[("tests/tests/http/http.rs", helper)]), wrong);
    }

    #[test]
    fn what_nothing_proves_is_open_or_has_a_reason() {
        assert_eq!(found("| `third` | Works. | open |\n", &[]), []);
        assert_eq!(found("| `third` | Works. | n/a: it has no such thing |\n", &[]), []);
    }

    #[test]
    fn marks_that_nobody_knows_are_found() {
        for mark in
            ["", "done", "Suite", "n/a", "n/a:", "open now", "core", "core a", "core ``", "x `a`"]
        {
            let wrong = one(&format!("{mark:?} is no mark"));
            assert_eq!(found(&format!("| `third` | Works. | {mark} |\n"), &[]), wrong);
        }
    }

    #[test]
    fn rows_that_are_none_are_found() {
        for (row, what) in [
            ("| `one` | suite |", "2 columns, three are needed"),
            ("| `one` | This | or that. | suite |", "4 columns, three are needed"),
            ("| one | Works. | suite |", "\"one\" is no id in backticks"),
            ("| `one` | | suite |", "`one` says nothing"),
        ] {
            assert_eq!(found(row, &[]), one(what));
        }
    }

    #[test]
    fn what_is_listed_twice_is_found() {
        let rows = "| `one` | Works. | suite |\n\nAnd:\n\n| `one` | Works. | suite |\n";
        assert_eq!(found(rows, &[]), [(9, "`one` is listed twice".to_owned())]);
    }

    #[test]
    fn a_suite_without_a_table_is_found() {
        let found = check(&Tree::planted(&[SUITE_OF_TWO]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), (TABLE, 1));
        assert!(found[0].what.starts_with("cannot be read: "), "{}", found[0].what);
        assert_eq!(check(&Tree::planted(&[("tests/src/lib.rs", "")])), []);
    }
}
