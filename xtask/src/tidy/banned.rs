//! What the core must never know, by name.

use std::collections::BTreeSet;

use syn::visit::Visit;

use super::source::Source;
use super::test_code::TestCode;
use super::tree::{Tree, Violation};

/// The sources that decide and therefore know no clock, system, thread or runtime. Tests among
/// them may: a test needs one real instant to begin with.
const FOLDER: &str = "cluster-core/src/";

/// Names that may not stand in them at all.
const WORDS: &[&str] = &[
    "BorrowedFd",
    "Mutex",
    "OwnedFd",
    "RawFd",
    "RwLock",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "async",
    "await",
];

/// Neighbours in a path that may not.
const PAIRS: &[[&str; 2]] = &[
    ["Instant", "now"],
    ["std", "env"],
    ["std", "fs"],
    ["std", "io"],
    ["std", "os"],
    ["std", "path"],
    ["std", "process"],
    ["std", "thread"],
];

/// The core's code names nothing of what is banned there.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let tests = TestCode::of(tree);
    let core = tree.sources.iter().filter(|source| source.path.starts_with(FOLDER));
    let mut violations = Vec::new();
    for source in core {
        let mut found = named(source);
        found.retain(|(line, _)| !tests.covers(&source.path, *line));
        let what = |name| format!("`{name}` is banned from the core");
        violations.extend(found.into_iter().map(|(l, name)| source.violation(l, what(name))));
    }
    violations
}

/// The banned names in `source`, each once a line: the lexemes show them wherever they stand,
/// macros included, and the syntax unfolds `use std::{io, …}`.
fn named(source: &Source) -> BTreeSet<(usize, String)> {
    let mut uses = Uses { found: BTreeSet::new() };
    uses.visit_file(&source.syntax);
    let words = source.lexemes().filter(|(_, text)| WORDS.contains(text));
    uses.found.extend(words.map(|(line, text)| (line, text.to_owned())));
    for [first, second] in PAIRS {
        let lines = source.occurrences(&[first, "::", second]);
        uses.found.extend(lines.into_iter().map(|line| (line, format!("{first}::{second}"))));
    }
    uses.found
}

/// Finds the banned pairs in `use` items.
struct Uses {
    found: BTreeSet<(usize, String)>,
}

impl Uses {
    fn unfold(&mut self, parent: Option<&syn::Ident>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.note(parent, &path.ident);
                self.unfold(Some(&path.ident), &path.tree);
            }
            syn::UseTree::Name(name) => self.note(parent, &name.ident),
            syn::UseTree::Rename(rename) => self.note(parent, &rename.ident),
            syn::UseTree::Glob(_) => {}
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.unfold(parent, tree));
            }
        }
    }

    fn note(&mut self, parent: Option<&syn::Ident>, child: &syn::Ident) {
        let Some(parent) = parent else { return };
        if PAIRS.iter().any(|[first, second]| parent == first && child == second) {
            self.found.insert((child.span().start().line, format!("{parent}::{child}")));
        }
    }
}

impl Visit<'_> for Uses {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.unfold(None, &item.tree);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let tree = Tree::planted(&[("cluster-core/src/lib.rs", text)]);
        check(&tree).into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    #[test]
    fn a_core_that_only_decides_is_clean() {
        let text = "//! No `std::io`, no async.\nuse std::net::SocketAddr;\nuse std::time::Instant;\n\
                    fn a(now: Instant) -> &'static str { \"std::env\" }\n\
                    #[cfg(test)]\nmod tests { fn now() { std::time::Instant::now(); } }\n";
        assert_eq!(found(text), []);
    }

    #[test]
    fn each_banned_name_is_found() {
        for name in WORDS.iter().filter(|word| !["async", "await"].contains(word)) {
            assert_eq!(found(&format!("\nuse a::{name};")).len(), 1, "{name}");
        }
        for [first, second] in PAIRS {
            let expected = [(2, format!("`{first}::{second}` is banned from the core"))];
            assert_eq!(found(&format!("\nfn a() {{ {first}::{second}(); }}")), expected);
            assert_eq!(found(&format!("\nuse {first}::{second};")), expected);
            assert_eq!(found(&format!("use {first}::{{\n{second} as b, c}};")), expected);
        }
        assert_eq!(found("async fn a() {\n b().await }").len(), 2);
        assert_eq!(found("m! { std::io::Error }").len(), 1);
    }

    #[test]
    fn other_crates_may_name_them() {
        let text = "use std::io;\nasync fn a() {}\n";
        assert_eq!(check(&Tree::planted(&[("cluster-sys/src/lib.rs", text)])), []);
    }
}
