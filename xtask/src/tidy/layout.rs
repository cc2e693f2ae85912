//! The top level of the repository: the crates, and beside them only what tools require.

use super::tree::{Tree, Violation};

/// What has to be there.
const REQUIRED: &[&str] = &[
    "Cargo.toml",
    "README.md",
    "cluster-core",
    "cluster-ipc",
    "cluster-sys",
    "cluster-tokio",
    "tests",
    "xtask",
];

/// What may be there: a crate to come, and what tools require. Dot entries may, too.
const TOLERATED: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "clippy.toml",
    "cluster-smol",
    "rustfmt.toml",
];

/// The top level is exactly what the architecture names.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let at = |name: &str, what: &str| Violation {
        path: name.to_owned(),
        line: 1,
        what: what.to_owned(),
    };
    let missing = REQUIRED.iter().filter(|name| !tree.top.contains(**name));
    let stray = tree.top.iter().map(String::as_str).filter(|name| {
        !name.starts_with('.') && !REQUIRED.contains(name) && !TOLERATED.contains(name)
    });
    missing
        .map(|name| at(name, "missing from the top level"))
        .chain(stray.map(|name| at(name, "does not belong at the top level")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(more: &[&str]) -> Tree {
        let names = REQUIRED.iter().chain(more);
        Tree::planted(&names.map(|name| (*name, "")).collect::<Vec<_>>())
    }

    #[test]
    fn the_crates_and_what_tools_require_may_be_there() {
        assert_eq!(check(&tree(&["Cargo.lock", "LICENSE-MIT", ".cargo", "cluster-smol"])), []);
    }

    #[test]
    fn nothing_else_may() {
        let found = check(&tree(&["benches"]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "benches");
    }

    #[test]
    fn nothing_may_be_missing() {
        let found = check(&Tree::planted(&[("xtask/src/main.rs", "")]));
        assert_eq!(found.len(), REQUIRED.len() - 1);
    }
}
