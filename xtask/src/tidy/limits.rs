//! Every limit is reached by a test.

use std::collections::HashSet;

use super::source::Source;
use super::test_code::TestCode;
use super::tree::{Tree, Violation};

/// The file in which a crate keeps its limits.
const FILE: &str = "/limits.rs";

/// Every constant of a `limits.rs` that others can see is named by some test.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let tests = TestCode::of(tree);
    let tested: HashSet<&str> =
        tree.sources.iter().flat_map(|source| words_in_tests(source, &tests)).collect();
    let mut violations = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.ends_with(FILE)) {
        for item in &source.syntax.items {
            let syn::Item::Const(limit) = item else { continue };
            let name = limit.ident.to_string();
            let private = matches!(limit.vis, syn::Visibility::Inherited);
            if !private && !tested.contains(name.as_str()) {
                let line = limit.ident.span().start().line;
                violations.push(source.violation(line, format!("no test names `{name}`")));
            }
        }
    }
    violations
}

fn words_in_tests<'a>(
    source: &'a Source,
    tests: &'a TestCode,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let in_test = |(line, _): &(usize, &str)| tests.covers(&source.path, *line);
    source.lexemes().filter(in_test).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: (&str, &str) =
        ("a/src/limits.rs", "/// Doc.\npub const ROOM: usize = 3;\nconst HELPER: usize = 1;\n");

    fn found(other: (&str, &str)) -> Vec<Violation> {
        check(&Tree::planted(&[LIMITS, other]))
    }

    #[test]
    fn a_limit_that_no_test_names_is_found() {
        for other in [
            ("a/src/lib.rs", "fn a() { limits::ROOM; }"),
            ("a/src/lib.rs", "#[cfg(test)]\nmod tests { /* ROOM */ }"),
            ("a/src/lib.rs", "#[cfg(test)]\nmod tests { fn a() { \"ROOM\"; } }"),
        ] {
            let found = found(other);
            assert_eq!(found.len(), 1, "{other:?}");
            assert_eq!((found[0].line, found[0].what.as_str()), (2, "no test names `ROOM`"));
        }
    }

    #[test]
    fn a_limit_that_a_test_names_is_reached() {
        for other in [
            ("a/src/lib.rs", "#[cfg(test)]\nmod tests { fn a() { limits::ROOM; } }"),
            ("b/tests/c.rs", "fn a() { limits::ROOM; }"),
            ("tests/src/d.rs", "fn a() { assert_eq!(b, ROOM); }"),
        ] {
            assert_eq!(found(other), [], "{other:?}");
        }
    }
}
