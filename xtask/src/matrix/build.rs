//! Builds the workspace's tests and finds them.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Artifact, Message, Metadata, MetadataCommand, Package, Target, TargetKind};

use super::contract::{RUNTIMES, examples};
use super::program::{Program, Tests};
use crate::{Failure, cargo};

/// Builds everything that tests the workspace `root`, and what tests start; tells what to run.
pub(crate) fn programs(root: &Path) -> Result<Vec<Program>, Failure> {
    let metadata = metadata(root)?;
    let mut programs = executables(root, &metadata)?;
    build_what_tests_start(root, &metadata)?;
    programs.extend(documentation(&metadata));
    programs
        .sort_by(|a, b| (&a.package, &a.tests, &a.target).cmp(&(&b.package, &b.tests, &b.target)));
    Ok(programs)
}

fn metadata(root: &Path) -> Result<Metadata, Failure> {
    let output = cargo::cargo(root)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed ({})", output.status).into());
    }
    Ok(MetadataCommand::parse(String::from_utf8(output.stdout)?)?)
}

/// Builds the test executables, with cargo's progress and diagnostics shown as they come.
fn executables(root: &Path, metadata: &Metadata) -> Result<Vec<Program>, Failure> {
    let mut child = cargo::cargo(root)
        .args(["test", "--workspace", "--all-features", "--no-run"])
        .args(["--lib", "--bins", "--tests"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut programs = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            if let Message::CompilerArtifact(artifact) = message? {
                programs.extend(executable(artifact, metadata));
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("the tests do not build (cargo test --no-run: {status})").into());
    }
    Ok(programs)
}

/// The program in `artifact`, if it is a test executable of this workspace.
fn executable(artifact: Artifact, metadata: &Metadata) -> Option<Program> {
    let executable: PathBuf = artifact.executable.filter(|_| artifact.profile.test)?.into();
    let packages = metadata.workspace_packages();
    let package = packages.into_iter().find(|package| package.id == artifact.package_id)?;
    let Target { name, kind, .. } = artifact.target;
    let (selector, tests): (&[&str], _) = match kind.first()? {
        TargetKind::Test => (&["--test", &name], Tests::Integration(executable)),
        TargetKind::Bin => (&["--bin", &name], Tests::Unit(executable)),
        TargetKind::Example => (&["--example", &name], Tests::Unit(executable)),
        TargetKind::Bench => (&["--bench", &name], Tests::Unit(executable)),
        _ => (&["--lib"], Tests::Unit(executable)),
    };
    Some(program(package, &name, selector, tests))
}

/// Builds the examples that tests start, just as these would do it themselves: here somebody sees
/// how it goes on, and no test waits for it. Fixture programs are built with their tests.
fn build_what_tests_start(root: &Path, metadata: &Metadata) -> Result<(), Failure> {
    for (package, folder) in RUNTIMES.iter().map(|runtime| examples(runtime)) {
        if !metadata.workspace_packages().iter().any(|it| it.name.as_str() == package) {
            continue;
        }
        let status = cargo::cargo(root)
            .args(["build", "--examples", "--package", &package, "--target-dir"])
            .arg(metadata.target_directory.join(folder))
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("the examples of {package} do not build ({status})").into());
        }
    }
    Ok(())
}

/// The documentation of each library.
fn documentation(metadata: &Metadata) -> Vec<Program> {
    let mut programs = Vec::new();
    for package in metadata.workspace_packages() {
        let library = package.targets.iter().find(|target| target.doctest);
        programs.extend(library.map(|t| program(package, &t.name, &["--doc"], Tests::Doc)));
    }
    programs
}

fn program(package: &Package, target: &str, selector: &[&str], tests: Tests) -> Program {
    Program {
        package: package.name.to_string(),
        version: package.version.to_string(),
        manifest: package.manifest_path.clone().into(),
        target: target.to_owned(),
        selector: selector.iter().map(|part| (*part).to_owned()).collect(),
        tests,
    }
}
