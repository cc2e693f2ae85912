//! Facts are barriers; sleeping is hoping.

use super::tree::{Tree, Violation};

/// Where sleeping is the point: workers that exist to be killed.
const ALLOWED: &[&str] = &["tests/src/bin/"];

/// Neither code nor tests sleep. Waiting until a deadline (`sleep_until`) is the drivers' work.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let judged = tree.sources.iter().filter(|source| {
        source.path.split('/').any(|part| ["src", "tests"].contains(&part))
            && !ALLOWED.iter().any(|prefix| source.path.starts_with(prefix))
    });
    let mut violations = Vec::new();
    for source in judged {
        let lexemes: Vec<(usize, &str)> = source.lexemes().collect();
        for (at, (line, _)) in lexemes.iter().enumerate() {
            let text = |index: usize| lexemes.get(index).map_or("", |(_, text)| text);
            let before = |back: usize| at.checked_sub(back).map_or("", text);
            let name = match text(at) {
                "sleep" if before(1) == "fn" => continue,
                "sleep" if ["thread", "time"].contains(&before(2)) => "sleep",
                "sleep" if text(at + 1) == "(" => "sleep",
                "after" if [before(2), before(1)] == ["Timer", "::"] => "Timer::after",
                _ => continue,
            };
            let what = format!("`{name}`: wait for a fact or a deadline instead");
            violations.push(source.violation(*line, what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::planted(&[(path, text)])).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn every_way_to_sleep_is_found() {
        for call in [
            "std::thread::sleep(d)",
            "sleep(d)",
            "tokio::time::sleep(d).await",
            "Timer::after(d).await",
            "m!(thread::sleep(d))",
            "[1].map(thread::sleep)",
        ] {
            let text = format!("async fn a() {{\n {call};\n}}");
            assert_eq!(found("cluster-tokio/src/lib.rs", &text), [2], "{call}");
            assert_eq!(found("tests/tests/tokio_current.rs", &text), [2], "{call}");
        }
    }

    #[test]
    fn deadlines_definitions_and_texts_are_no_sleep() {
        let text =
            "/// sleep(1)\nfn sleep() { sleep_until(d); \"sleep(1)\"; Timer::at(d); x.after(d); }";
        assert!(found("cluster-tokio/src/lib.rs", text).is_empty());
    }

    #[test]
    fn fixture_workers_may_sleep() {
        let text = "fn main() { std::thread::sleep(d) }";
        assert!(found("tests/src/bin/sleeper.rs", text).is_empty());
        assert_eq!(found("tests/src/sleeper.rs", text), [1]);
    }
}
