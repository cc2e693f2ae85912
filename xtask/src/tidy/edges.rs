//! Who may depend on whom: a line of crates, not a web.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use super::tree::{Tree, Violation};
use crate::{Failure, cargo};

/// What a crate of the workspace may depend on. A new edge is the most serious kind of change:
/// it is made here first.
struct Law {
    package: &'static str,
    direct: Direct,
    /// Packages that its dependencies, and theirs in turn, never lead to.
    never: &'static [&'static str],
}

/// What may stand in a crate's own manifest (development dependencies aside).
enum Direct {
    /// These and no others, the second ones only as optional dependencies.
    Only(&'static [&'static str], &'static [&'static str]),
    /// Whatever else, but not these.
    Not(&'static [&'static str]),
}

const LAWS: &[Law] = &[
    Law { package: "cluster-core", direct: Direct::Only(&["thiserror"], &["serde"]), never: &[] },
    Law {
        package: "cluster-ipc",
        direct: Direct::Only(
            &["cluster-core", "postcard", "serde", "serde_json", "thiserror"],
            &[],
        ),
        never: &["async-io", "mio", "nix", "smol", "tokio"],
    },
    Law {
        package: "cluster-sys",
        direct: Direct::Not(&[]),
        never: &["async-io", "async-std", "cluster-smol", "cluster-tokio", "smol", "tokio"],
    },
    Law {
        package: "cluster-tokio",
        direct: Direct::Not(&["libc", "mio", "nix"]),
        never: &["async-global-executor", "async-io", "cluster-smol", "smol"],
    },
    Law {
        package: "cluster-smol",
        direct: Direct::Not(&["libc", "mio", "nix"]),
        never: &["cluster-tokio", "tokio"],
    },
];

/// The crate that runs the others as programs and therefore depends on none of them.
const OUTSIDER: &str = "xtask";

/// Every dependency edge of the workspace is one that the laws allow.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let metadata = match metadata(&tree.root) {
        Ok(metadata) => metadata,
        Err(failure) => {
            let what = failure.to_string();
            return vec![Violation { path: "Cargo.toml".to_owned(), line: 1, what }];
        }
    };
    let graph = Graph::of(&metadata);
    let mut violations = Vec::new();
    for package in metadata.workspace_packages() {
        if let Some(law) = LAWS.iter().find(|law| package.name == law.package) {
            violations.extend(check_direct(&tree.root, package, &law.direct));
            violations.extend(check_all(&tree.root, package, law.never, &graph));
        }
        if package.name == OUTSIDER {
            violations.extend(check_outsider(&tree.root, package, &metadata));
        }
    }
    violations
}

fn metadata(root: &Path) -> Result<Metadata, Failure> {
    let output =
        cargo::cargo(root).args(["metadata", "--format-version=1", "--all-features"]).output()?;
    if !output.status.success() {
        return Err(
            format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()).into()
        );
    }
    Ok(MetadataCommand::parse(String::from_utf8(output.stdout)?)?)
}

fn check_direct(root: &Path, package: &Package, direct: &Direct) -> Vec<Violation> {
    let mut violations = Vec::new();
    let judged = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    for dependency in judged {
        let name = dependency.name.as_str();
        let what = match direct {
            Direct::Only(always, _) if always.contains(&name) => continue,
            Direct::Only(_, optional) if !optional.contains(&name) => "may not depend on",
            Direct::Only(..) if dependency.optional => continue,
            Direct::Only(..) => "may depend only optionally on",
            Direct::Not(banned) if banned.contains(&name) => "may not depend directly on",
            Direct::Not(_) => continue,
        };
        let what = format!("`{}` {what} `{name}`", package.name);
        violations.push(at_dependency(root, package, name, what));
    }
    violations
}

fn check_all(root: &Path, from: &Package, never: &[&str], graph: &Graph<'_>) -> Vec<Violation> {
    let chains = graph.chains(&from.id);
    let banned = chains.iter().filter(|chain| never.contains(chain.last().unwrap_or(&"")));
    banned
        .map(|chain| {
            let what = format!("`{}` leads to a banned package: {}", from.name, chain.join(" -> "));
            at_dependency(root, from, chain.get(1).unwrap_or(&""), what)
        })
        .collect()
}

fn check_outsider(root: &Path, package: &Package, metadata: &Metadata) -> Vec<Violation> {
    let workspace: HashSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let names = package.dependencies.iter().map(|dependency| dependency.name.as_str());
    names
        .filter(|name| workspace.contains(name))
        .map(|name| {
            let what = format!("`{OUTSIDER}` may not depend on `{name}` of this workspace");
            at_dependency(root, package, name, what)
        })
        .collect()
}

/// A violation in the manifest of `package`, on the line that begins with `dependency`.
fn at_dependency(root: &Path, package: &Package, dependency: &str, what: String) -> Violation {
    let manifest = package.manifest_path.as_std_path();
    let names_it = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.']))
    };
    // A manifest that cannot be read again, or that renames the dependency, costs the line only.
    let text = fs::read_to_string(manifest).unwrap_or_default();
    let line = text.lines().position(names_it).map_or(1, |index| index + 1);
    let path = manifest.strip_prefix(root).unwrap_or(manifest).to_string_lossy().into_owned();
    Violation { path, line, what }
}

/// The resolved normal dependencies of every package, with all features.
struct Graph<'a> {
    names: HashMap<&'a PackageId, &'a str>,
    edges: HashMap<&'a PackageId, Vec<&'a PackageId>>,
}

impl<'a> Graph<'a> {
    fn of(metadata: &'a Metadata) -> Self {
        let names = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
        let mut edges: HashMap<_, Vec<_>> = HashMap::new();
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal)
            });
            edges.entry(&node.id).or_default().extend(normal.map(|dependency| &dependency.pkg));
        }
        Self { names, edges }
    }

    /// For each package that `from` leads to, the names along the shortest way to it.
    fn chains(&self, from: &'a PackageId) -> Vec<Vec<&'a str>> {
        let mut seen = HashSet::from([from]);
        let mut next = VecDeque::from([(from, vec![self.name(from)])]);
        let mut chains = Vec::new();
        while let Some((package, chain)) = next.pop_front() {
            for to in self.edges.get(package).into_iter().flatten().copied() {
                if seen.insert(to) {
                    let chain: Vec<_> = chain.iter().copied().chain([self.name(to)]).collect();
                    chains.push(chain.clone());
                    next.push_back((to, chain));
                }
            }
        }
        chains
    }

    fn name(&self, package: &PackageId) -> &'a str {
        self.names.get(package).copied().unwrap_or_default()
    }
}
