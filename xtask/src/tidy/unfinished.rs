//! What is committed is finished.

use super::source::Source;
use super::tree::{Tree, Violation};

/// Words that a comment may not hold.
const MARKERS: &[&str] = &["TODO", "FIXME"];

/// Macros that stand for code to come.
const PLACEHOLDERS: &[&str] = &["todo", "unimplemented"];

/// No comment or macro speaks of work to come, and no test is left out.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    tree.sources.iter().flat_map(unfinished).collect()
}

fn unfinished(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, text) in source.comments() {
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        if let Some(marker) = words.find(|word| MARKERS.contains(word)) {
            found.push(source.violation(line, format!("`{marker}`: finish it or file it")));
        }
    }
    for name in PLACEHOLDERS {
        let lines = source.occurrences(&[name, "!"]);
        found.extend(lines.into_iter().map(|line| source.violation(line, format!("`{name}!`"))));
    }
    for (line, attribute) in source.attributes() {
        let conditional = attribute.first() == Some(&"cfg_attr") && attribute.contains(&"ignore");
        if attribute.first() == Some(&"ignore") || conditional {
            found.push(source.violation(line, "an ignored test proves nothing"));
        }
    }
    found.sort_by_key(|violation| violation.line);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let tree = Tree::planted(&[("a/src/lib.rs", text)]);
        check(&tree).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn whatever_is_unfinished_is_found() {
        for text in [
            "fn a() {}\n// TODO: b",
            "\n/// FIXME(b)\nfn a() {}",
            "/* a\nTODO */",
            "\nfn a() { todo!() }",
            "\nfn a() { unimplemented!(\"b\") }",
            "\n#[ignore] fn a() {}",
            "\n#[ignore = \"slow\"] fn a() {}",
            "\n#[cfg_attr(miri, ignore)] fn a() {}",
            "m! {\n#[ignore] fn a() {} }",
        ] {
            assert_eq!(found(text), [2], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_free() {
        let text = "// TODOS and todo!\nfn ignore(todo: bool) -> &'static str { \"TODO todo!\" }";
        assert!(found(text).is_empty());
    }
}
