//! The cargo that this program runs, itself having been run by cargo.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Cargo in the workspace `root`, as somebody at a shell would start it there.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(root);
    forget_outer(&mut command);
    command
}

/// The cargo that started this program, or the one in the search path.
pub(crate) fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Removes from the environment of `command` what the outer `cargo run` says about this very
/// package. What the user configures through the environment (`CARGO_TARGET_DIR` and the like)
/// stays.
pub(crate) fn forget_outer(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
}

fn describes_a_package(variable: &str) -> bool {
    const PREFIXES: &[&str] =
        &["CARGO_BIN_EXE_", "CARGO_BIN_NAME", "CARGO_MANIFEST_", "CARGO_PKG_"];
    const NAMES: &[&str] =
        &["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    PREFIXES.iter().any(|prefix| variable.starts_with(prefix)) || NAMES.contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_describes_this_package_goes_and_configuration_stays() {
        assert!(describes_a_package("CARGO_PKG_VERSION_MAJOR"));
        assert!(describes_a_package("CARGO_MANIFEST_DIR"));
        assert!(describes_a_package("OUT_DIR"));
        assert!(!describes_a_package("CARGO_TARGET_DIR"));
        assert!(!describes_a_package("CARGO_HOME"));
        assert!(!describes_a_package("RUSTUP_TOOLCHAIN"));
    }
}
