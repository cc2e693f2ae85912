//! `cargo xtask tidy`: the laws of the architecture, held against the tree as it stands.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::Failure;
use tree::{Tree, Violation};

mod banned;
mod edges;
mod layout;
mod length;
mod limits;
mod raw_fd;
mod reason;
mod scenarios;
mod sleep;
mod source;
mod test_code;
mod tree;
mod unfinished;
mod unsafe_code;

/// Checks the workspace `root`, prints each violation, and succeeds when there is none.
pub(crate) fn run(root: &Path) -> Result<ExitCode, Failure> {
    let tree = Tree::load(root)?;
    let mut lines = Vec::new();
    for Rule { name, check } in RULES {
        for Violation { path, line, what } in check(&tree) {
            lines.push(format!("{path}:{line}: {name}: {what}"));
        }
    }
    let code = if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    lines.push(match lines.len() {
        0 => format!("tidy: {} rules, no violation", RULES.len()),
        1 => "tidy: 1 violation".to_owned(),
        n => format!("tidy: {n} violations"),
    });
    io::stdout().write_all((lines.join("\n") + "\n").as_bytes())?;
    Ok(code)
}

/// One law: its name in messages, and who finds what breaks it.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
}

const RULES: &[Rule] = &[
    Rule { name: "syntax", check: |tree| tree.broken.clone() },
    Rule { name: "edges", check: edges::check },
    Rule { name: "layout", check: layout::check },
    Rule { name: "banned", check: banned::check },
    Rule { name: "length", check: length::check },
    Rule { name: "sleep", check: sleep::check },
    Rule { name: "unsafe", check: unsafe_code::check },
    Rule { name: "raw-fd", check: raw_fd::check },
    Rule { name: "reason", check: reason::check },
    Rule { name: "limits", check: limits::check },
    Rule { name: "unfinished", check: unfinished::check },
    Rule { name: "scenarios", check: scenarios::check },
];
