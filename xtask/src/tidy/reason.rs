//! Every exception says why.

use super::source::enclosed;
use super::tree::{Tree, Violation};

/// Every `allow` and `expect` of a lint carries a reason.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        for (line, attribute) in source.attributes() {
            // The exceptions may stand inside `cfg_attr`, so each lexeme is looked at.
            for (at, name) in attribute.iter().enumerate() {
                let list = &attribute[at + 1..];
                if ["allow", "expect"].contains(name) && list.first() == Some(&"(") {
                    let reasoned = enclosed(list).windows(2).any(|pair| pair == ["reason", "="]);
                    if !reasoned {
                        violations
                            .push(source.violation(line, format!("`{name}` without a reason")));
                    }
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let tree = Tree::planted(&[("a/src/lib.rs", text)]);
        check(&tree).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn exceptions_without_a_reason_are_found() {
        for text in [
            "\n#[allow(dead_code)] fn a() {}",
            "\n#![allow(dead_code)]",
            "fn a() {\n#[expect(unused)] let b = 1; }",
            "\n#[cfg_attr(unix, allow(dead_code))] fn a() {}",
            "m! {\n#[allow(dead_code)] fn a() {} }",
        ] {
            assert_eq!(found(text), [2], "{text}");
        }
    }

    #[test]
    fn exceptions_with_a_reason_and_other_things_are_free() {
        for text in [
            "#[allow(dead_code, reason = \"the other flavour uses it\")] fn a() {}",
            "#[cfg_attr(unix, expect(unused, reason = \"b\"))] fn a() {}",
            "// #[allow(dead_code)]\nfn a() { b.expect(\"c\"); allow(d); }",
            "#[deny(unused)] fn a() {}",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
