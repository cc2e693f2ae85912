//! Builds what is measured, and puts it where nothing else replaces it.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, ensure};
use cargo_metadata::{Message, MetadataCommand};

use crate::cargo;

/// The folder of the programs under test, in the target folder of the workspace `root`.
pub(super) fn place(root: &Path) -> Result<PathBuf> {
    let output = cargo::cargo(root)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "cargo metadata failed ({})", output.status);
    let metadata = MetadataCommand::parse(String::from_utf8(output.stdout)?)?;
    Ok(metadata.target_directory.as_std_path().join("bench"))
}

/// The optimised program `name` of the package of that name.
pub(super) fn binary(root: &Path, name: &str) -> Result<PathBuf> {
    build(root, name, &["--bin", name])
}

/// The example `name` of `package`, optimised, copied into `place`: examples of several packages
/// are called the same, and cargo puts them all into one folder.
pub(super) fn example(root: &Path, package: &str, name: &str, place: &Path) -> Result<PathBuf> {
    let built = build(root, package, &["--example", name])?;
    let kept = place.join(format!("{package}-{name}"));
    let fresh = place.join(format!("{package}-{name}.new"));
    // A program that runs cannot be written to, but it can be replaced.
    fs::copy(&built, &fresh).with_context(|| built.display().to_string())?;
    fs::rename(&fresh, &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

fn build(root: &Path, package: &str, selector: &[&str]) -> Result<PathBuf> {
    let what = format!("{package} {}", selector.join(" "));
    let mut child = cargo::cargo(root)
        .args(["build", "--release", "--quiet", "--package", package])
        .args(selector)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("cargo has a standard output")?;
    let mut executable = None;
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message? {
            executable = artifact.executable.or(executable);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{what} does not build ({status})");
    executable.map(Into::into).ok_or_else(|| anyhow!("{what}: no program was built"))
}
