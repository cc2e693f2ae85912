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
    build(root, name, &["--bin", name])?.pop().ok_or_else(|| anyhow!("{name}: nothing was built"))
}

/// Builds the examples `names` of `package`, optimised, all from the same state of the sources,
/// and copies them to where [`kept`] says.
pub(super) fn examples(root: &Path, package: &str, names: &[&str], place: &Path) -> Result<()> {
    let selector: Vec<_> = names.iter().flat_map(|name| ["--example", name]).collect();
    for built in build(root, package, &selector)? {
        let name = built.file_name().context("a program has a name")?.to_string_lossy();
        let kept = kept(place, package, &name);
        let fresh = kept.with_extension("new");
        // A program that runs cannot be written to, but it can be replaced.
        fs::copy(&built, &fresh).with_context(|| built.display().to_string())?;
        fs::rename(&fresh, &kept).with_context(|| kept.display().to_string())?;
    }
    Ok(())
}

/// Where the example `name` of `package` is kept: examples of several packages are called the
/// same, and cargo puts them all into one folder.
pub(super) fn kept(place: &Path, package: &str, name: &str) -> PathBuf {
    place.join(format!("{package}-{name}"))
}

fn build(root: &Path, package: &str, selector: &[&str]) -> Result<Vec<PathBuf>> {
    let what = format!("{package} {}", selector.join(" "));
    let mut child = cargo::cargo(root)
        .args(["build", "--release", "--quiet", "--package", package])
        .args(selector)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("cargo has a standard output")?;
    let mut executables = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message? {
            executables.extend(artifact.executable.map(PathBuf::from));
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{what} does not build ({status})");
    Ok(executables)
}
