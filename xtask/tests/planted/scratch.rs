//! A workspace that exists for one test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed at the end. The workspace is a folder in it, so that there is
/// room for other things beside it.
pub(crate) struct Scratch {
    folder: PathBuf,
}

/// What `xtask` has said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xtask-planted-{}-{number}", process::id());
        let scratch = Self { folder: env::temp_dir().join(name) };
        fs::create_dir_all(scratch.root()).expect("the temporary folder can be written");
        scratch
    }

    /// The folder of the workspace.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Writes `text` to `path`, which is relative to the workspace.
    pub(crate) fn plant(&self, path: &str, text: &str) -> &Self {
        let file = self.root().join(path);
        let folder = file.parent().expect("a planted file has a folder");
        fs::create_dir_all(folder).expect("the temporary folder can be written");
        fs::write(file, text).expect("the temporary folder can be written");
        self
    }

    /// Runs `xtask` on the workspace, without the network.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("--root")
            .arg(self.root())
            .args(arguments)
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            // When these tests run in a hook of git's, it speaks of another repository.
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_WORK_TREE")
            .output()
            .expect("xtask can be started");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Said { stdout, stderr, code: output.status.code() }
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}
