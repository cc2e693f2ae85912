//! `cargo xtask tidy` on workspaces with one thing wrong, and on one with nothing.

use std::process::Command;

use crate::scratch::Scratch;

/// The crates of a workspace that keeps every law: package, dependencies, root.
const CRATES: &[(&str, &str, &str)] = &[
    ("cluster-core", "thiserror = { path = \"../../stubs/thiserror\" }", "lib.rs"),
    ("cluster-ipc", "cluster-core = { path = \"../cluster-core\" }", "lib.rs"),
    ("cluster-sys", "cluster-ipc = { path = \"../cluster-ipc\" }", "lib.rs"),
    ("cluster-tokio", "cluster-sys = { path = \"../cluster-sys\" }", "lib.rs"),
    ("tests", "cluster-tokio = { path = \"../cluster-tokio\" }", "lib.rs"),
    ("xtask", "", "main.rs"),
];

/// Packages outside the workspace, named like the real ones, and what they depend on.
const STUBS: &[(&str, &str)] = &[
    ("async-io", ""),
    ("log", ""),
    ("mio", ""),
    ("nix", ""),
    ("postcard", "tokio"),
    ("serde", ""),
    ("smol", "async-io"),
    ("thiserror", ""),
    ("tokio", "mio"),
];

/// A workspace that keeps every law.
fn clean() -> Scratch {
    let scratch = Scratch::new();
    let members: Vec<_> = CRATES.iter().map(|(name, ..)| format!("\"{name}\"")).collect();
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", "));
    scratch.plant("Cargo.toml", &workspace).plant("README.md", "");
    for (name, dependencies, root) in CRATES {
        plant_manifest(&scratch, name, dependencies);
        let text = match (*name, *root) {
            ("cluster-sys", _) => "//! Does.\n",
            (_, "main.rs") => "#![forbid(unsafe_code)]\nfn main() {}\n",
            _ => "#![forbid(unsafe_code)]\n",
        };
        scratch.plant(&format!("{name}/src/{root}"), text);
    }
    for (name, dependency) in STUBS {
        let dependency = match *dependency {
            "" => String::new(),
            other => format!("{other} = {{ path = \"../{other}\" }}"),
        };
        plant_manifest(&scratch, &format!("../stubs/{name}"), &dependency);
        scratch.plant(&format!("../stubs/{name}/src/lib.rs"), "");
    }
    scratch
}

/// Writes the manifest of the package in `folder`. Its dependencies begin on line 6.
fn plant_manifest(scratch: &Scratch, folder: &str, dependencies: &str) {
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\n{dependencies}\n"
    );
    scratch.plant(&format!("{folder}/Cargo.toml"), &manifest);
}

/// Asserts that tidy finds `violations` in the workspace, and nothing else.
fn assert_found(scratch: &Scratch, violations: &[&str]) {
    let said = scratch.xtask(&["tidy"]);
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    let closing = lines.pop().unwrap_or_default();
    assert_eq!(lines, violations, "{}", said.stderr);
    assert_eq!(said.code, Some(if violations.is_empty() { 0 } else { 1 }));
    match violations.len() {
        0 => assert!(closing.ends_with(" rules, no violation"), "{closing}"),
        1 => assert_eq!(closing, "tidy: 1 violation"),
        n => assert_eq!(closing, format!("tidy: {n} violations")),
    }
}

#[test]
fn a_workspace_that_keeps_every_law_is_clean() {
    assert_found(&clean(), &[]);
}

#[test]
fn edges_that_the_laws_allow_are_clean() {
    let scratch = clean();
    let serde = "serde = { path = \"../../stubs/serde\", optional = true }\n\
                 [dev-dependencies]\nmio = { path = \"../../stubs/mio\" }";
    plant_manifest(&scratch, "cluster-core", serde);
    plant_manifest(&scratch, "cluster-sys", "mio = { path = \"../../stubs/mio\" }");
    plant_manifest(&scratch, "cluster-tokio", "tokio = { path = \"../../stubs/tokio\" }");
    assert_found(&scratch, &[]);
}

#[test]
fn forbidden_direct_edges_are_found() {
    let scratch = clean();
    let stub = |name: &str| format!("{name} = {{ path = \"../../stubs/{name}\" }}");
    plant_manifest(&scratch, "cluster-core", &format!("{}\n{}", stub("serde"), stub("log")));
    plant_manifest(&scratch, "cluster-tokio", &stub("mio"));
    plant_manifest(&scratch, "xtask", "cluster-core = { path = \"../cluster-core\" }");
    assert_found(
        &scratch,
        &[
            "cluster-core/Cargo.toml:7: edges: `cluster-core` may not depend on `log`",
            "cluster-core/Cargo.toml:6: edges: `cluster-core` may depend only optionally on `serde`",
            "cluster-tokio/Cargo.toml:6: edges: `cluster-tokio` may not depend directly on `mio`",
            "xtask/Cargo.toml:6: edges: `xtask` may not depend on `cluster-core` of this workspace",
        ],
    );
}

#[test]
fn forbidden_edges_further_down_are_found() {
    let scratch = clean();
    plant_manifest(&scratch, "cluster-ipc", "postcard = { path = \"../../stubs/postcard\" }");
    plant_manifest(&scratch, "cluster-tokio", "smol = { path = \"../../stubs/smol\" }");
    let said = scratch.xtask(&["tidy"]);
    for line in [
        "cluster-ipc/Cargo.toml:6: edges: `cluster-ipc` leads to a banned package: \
         cluster-ipc -> postcard -> tokio\n",
        "cluster-ipc/Cargo.toml:6: edges: `cluster-ipc` leads to a banned package: \
         cluster-ipc -> postcard -> tokio -> mio\n",
        "cluster-tokio/Cargo.toml:6: edges: `cluster-tokio` leads to a banned package: \
         cluster-tokio -> smol -> async-io\n",
        "tidy: 5 violations\n",
    ] {
        assert!(said.stdout.contains(line), "{line}{}", said.stdout);
    }
    assert_eq!(said.code, Some(1));
}

#[test]
fn a_workspace_that_cargo_refuses_is_a_violation() {
    let scratch = clean();
    scratch.plant("xtask/Cargo.toml", "[package]\n");
    let said = scratch.xtask(&["tidy"]);
    assert!(said.stdout.starts_with("Cargo.toml:1: edges: cargo metadata: "), "{said:?}");
    assert_eq!(said.code, Some(1));
}

#[test]
fn every_rule_reaches_the_files() {
    let scratch = clean();
    scratch
        .plant("cluster-core/src/a.rs", "use std::io;\n")
        .plant("cluster-core/src/b.rs", "fn () {}\n")
        .plant("cluster-ipc/src/limits.rs", "pub const ROOM: usize = 1;\n")
        .plant("cluster-sys/src/a.rs", "pub type A = std::os::fd::RawFd;\n")
        .plant("cluster-sys/src/b.rs", "fn b() { unsafe { c() } }\n")
        .plant("cluster-tokio/examples/a.rs", &"// why\nfn main() {}\n".repeat(501))
        .plant("cluster-tokio/src/a.rs", "#[allow(dead_code)]\nfn a() { thread::sleep(b) }\n")
        .plant("tests/tests/a.rs", "#[test]\n#[ignore]\nfn a() {}\n");
    assert_found(
        &scratch,
        &[
            "cluster-core/src/b.rs:1: syntax: does not parse: expected identifier",
            "cluster-core/src/a.rs:1: banned: `std::io` is banned from the core",
            "cluster-tokio/examples/a.rs:1: length: 501 lines of code, at most 500 are allowed",
            "cluster-tokio/src/a.rs:2: sleep: `sleep`: wait for a fact or a deadline instead",
            "cluster-sys/src/b.rs:1: unsafe: unsafe code outside the listed files",
            "cluster-sys/src/a.rs:1: raw-fd: `RawFd` in a public signature: \
             take or give an owned or a borrowed one",
            "cluster-tokio/src/a.rs:1: reason: `allow` without a reason",
            "cluster-ipc/src/limits.rs:1: limits: no test names `ROOM`",
            "tests/tests/a.rs:2: unfinished: an ignored test proves nothing",
        ],
    );
}

#[test]
fn what_git_ignores_is_not_part_of_the_tree() {
    let scratch = clean();
    scratch.plant("notes/a.rs", "fn () {}").plant(".config/b.rs", "");
    assert_found(
        &scratch,
        &[
            "notes/a.rs:1: syntax: does not parse: expected identifier",
            "notes:1: layout: does not belong at the top level",
        ],
    );
    let git = Command::new("git").args(["init", "-q"]).arg(scratch.root()).status();
    assert!(git.is_ok_and(|status| status.success()));
    scratch.plant(".gitignore", "/notes\n");
    assert_found(&scratch, &[]);
}
