//! Unsafe code in few files, each with its reason.

use super::source::Source;
use super::tree::{Tree, Violation};

/// The only files that may hold unsafe code, and why.
const LISTED: &[(&str, &str)] = &[
    ("cluster-sys/src/cmsg.rs", "control messages are parsed from raw bytes"),
    ("cluster-sys/src/host/ready.rs", "mio's poll lends its descriptor as a number only"),
    ("cluster-sys/src/invitation.rs", "a descriptor inherited by number becomes an owned one"),
    ("cluster-sys/src/patience.rs", "sched_setscheduler has no safe wrapper"),
    ("cluster-sys/src/process.rs", "pidfd_send_signal and waitid on a pidfd have no safe wrapper"),
    ("cluster-sys/src/signal.rs", "a process signals itself, whatever the signal"),
    ("cluster-sys/src/socket.rs", "a descriptor known by its number is copied"),
    ("cluster-sys/src/socket/accept.rs", "accept4 with the address has no safe wrapper"),
    ("cluster-sys/src/socket/spread.rs", "a program is attached to a socket by its address"),
    ("cluster-sys/src/spawn/child.rs", "steps between fork and exec"),
    ("cluster-sys/src/spawn/plan.rs", "descriptors are lifted out of the way of a fork"),
    ("cluster-sys/tests/channel.rs", "descriptors are made to order"),
    ("cluster-sys/tests/host/refuse.rs", "system calls are made to fail"),
    ("cluster-sys/tests/process.rs", "what the system says is compared with"),
    ("cluster-sys/tests/spawn.rs", "signals and descriptors are set up as badly as possible"),
    ("cluster-sys/tests/support/arrange.rs", "a process is set up as badly as possible"),
    ("cluster-sys/tests/support/mod.rs", "poll(2) is the barrier"),
];

/// The crate that those files belong to. Every other one forbids unsafe code.
const UNSAFE_CRATE: &str = "cluster-sys";

/// Unsafe code stands in listed files only, and no list entry is idle.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    check_against(LISTED, tree)
}

fn check_against(listed: &[(&str, &str)], tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        let lines = source.occurrences(&["unsafe"]);
        match listed.iter().find(|(path, _)| *path == source.path) {
            Some((_, reason)) if lines.is_empty() => {
                let what = format!("holds no unsafe code, but is listed for it ({reason})");
                violations.push(source.violation(1, what));
            }
            Some(_) => {}
            None => {
                let what = "unsafe code outside the listed files";
                violations.extend(lines.into_iter().map(|line| source.violation(line, what)));
            }
        }
    }
    let lax = tree.sources.iter().filter(|source| is_root(source, tree) && !forbids(source));
    violations.extend(lax.map(|root| root.violation(1, "`#![forbid(unsafe_code)]` is missing")));
    violations
}

/// Whether `source` is the root of a crate that has to forbid unsafe code: its library, or its
/// program where it has none.
fn is_root(source: &Source, tree: &Tree) -> bool {
    let Some((folder, "src/lib.rs" | "src/main.rs")) = source.path.split_once('/') else {
        return false;
    };
    let library = format!("{folder}/src/lib.rs");
    folder != UNSAFE_CRATE
        && (source.path == library || !tree.sources.iter().any(|other| other.path == library))
}

fn forbids(root: &Source) -> bool {
    let attributes = root.attributes();
    attributes.iter().any(|(_, attribute)| *attribute == ["forbid", "(", "unsafe_code", ")"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBID: &str = "#![forbid(unsafe_code)]\n";
    const UNSAFE: &str = "fn a() {\n unsafe { b() }\n}\n";

    fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let listed = [("cluster-sys/src/cmsg.rs", "raw bytes")];
        let found = check_against(&listed, &Tree::planted(files));
        found.into_iter().map(|violation| (violation.path, violation.line)).collect()
    }

    #[test]
    fn listed_files_may_and_forbidding_crates_need_nothing_more() {
        let files = [
            ("cluster-sys/src/lib.rs", "// unsafe\nmod cmsg;"),
            ("cluster-sys/src/cmsg.rs", UNSAFE),
            ("cluster-core/src/lib.rs", FORBID),
            ("xtask/src/main.rs", FORBID),
            ("tests/src/lib.rs", FORBID),
            ("tests/src/main.rs", ""),
        ];
        assert_eq!(found(&files), []);
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        let found = found(&[("cluster-sys/src/socket.rs", UNSAFE), ("a/tests/b.rs", UNSAFE)]);
        let expected =
            [("cluster-sys/src/socket.rs".to_owned(), 2), ("a/tests/b.rs".to_owned(), 2)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_crate_that_does_not_forbid_is_found() {
        let found =
            found(&[("a/src/lib.rs", "//! #![forbid(unsafe_code)]"), ("b/src/main.rs", "")]);
        assert_eq!(found, [("a/src/lib.rs".to_owned(), 1), ("b/src/main.rs".to_owned(), 1)]);
    }

    #[test]
    fn an_idle_list_entry_is_found() {
        let found = found(&[("cluster-sys/src/cmsg.rs", "fn a() {}")]);
        assert_eq!(found, [("cluster-sys/src/cmsg.rs".to_owned(), 1)]);
    }
}
