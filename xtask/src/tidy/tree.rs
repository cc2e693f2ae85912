//! The tree that is checked: what stands at its top, and every Rust source in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::source::Source;
use crate::Failure;

/// A workspace as its repository holds it: what git ignores is not part of it.
pub(crate) struct Tree {
    /// The folder of the workspace.
    pub(crate) root: PathBuf,
    /// The names at the top level.
    pub(crate) top: BTreeSet<String>,
    /// Every Rust source that parses.
    pub(crate) sources: Vec<Source>,
    /// The Rust sources that do not.
    pub(crate) broken: Vec<Violation>,
}

/// Something that a rule forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file, relative to the root.
    pub(crate) path: String,
    /// The line in it, counted from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
}

impl Tree {
    /// Reads and parses the workspace at `root`.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        let mut tree = Self::empty(root);
        for path in listing(root)? {
            let top = path.split('/').next().unwrap_or_default();
            tree.top.insert(top.to_owned());
            if path.ends_with(".rs") {
                tree.add(&path, fs::read_to_string(root.join(&path)))?;
            }
        }
        Ok(tree)
    }

    fn empty(root: &Path) -> Self {
        Self { root: root.into(), top: BTreeSet::new(), sources: Vec::new(), broken: Vec::new() }
    }

    fn add(&mut self, path: &str, text: io::Result<String>) -> Result<(), Failure> {
        let parsed = match text {
            Ok(text) => Source::parse(path, text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = "does not parse: it is not UTF-8".to_owned();
                Err(Violation { path: path.to_owned(), line: 1, what })
            }
            Err(error) => return Err(format!("{path}: {error}").into()),
        };
        match parsed {
            Ok(source) => self.sources.push(source),
            Err(violation) => self.broken.push(violation),
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tree {
    /// A tree in memory: paths and texts.
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::empty(Path::new("/planted"));
        for (path, text) in files {
            tree.top.insert(path.split('/').next().unwrap_or_default().to_owned());
            if path.ends_with(".rs") {
                tree.add(path, Ok((*text).to_owned())).expect("text in memory can be read");
            }
        }
        tree
    }
}

/// The files that the repository holds or would take, sorted. Where git has nothing to say
/// (no repository, or an ignored folder in one), everything but build output and dot entries.
fn listing(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut files = listed_by_git(root).unwrap_or_default();
    // What was removed and not yet committed is still listed.
    files.retain(|path| root.join(path).is_file());
    if files.is_empty() {
        walk(root, "", &mut files)?;
    }
    Ok(files)
}

fn listed_by_git(root: &Path) -> Option<BTreeSet<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let names = listing.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else {
            files.insert(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
