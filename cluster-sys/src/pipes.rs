//! A worker's stdio, as its primary has it in hand.

use std::os::fd::OwnedFd;
use std::sync::Mutex;

/// The primary's ends of a worker's piped stdio, non-blocking. Each can be taken once; one that
/// is not taken stays open as long as a handle to the worker lives.
#[derive(Debug, Default)]
pub struct Pipes {
    ends: Mutex<[Option<OwnedFd>; 3]>,
}

impl Pipes {
    pub(crate) fn set(&self, ends: [Option<OwnedFd>; 3]) {
        if let Ok(mut held) = self.ends.lock() {
            *held = ends;
        }
    }

    /// Where to write the worker's standard input.
    pub fn take_stdin(&self) -> Option<OwnedFd> {
        self.take(0)
    }

    /// Where to read the worker's standard output.
    pub fn take_stdout(&self) -> Option<OwnedFd> {
        self.take(1)
    }

    /// Where to read the worker's error output.
    pub fn take_stderr(&self) -> Option<OwnedFd> {
        self.take(2)
    }

    fn take(&self, which: usize) -> Option<OwnedFd> {
        self.ends.lock().ok()?[which].take()
    }
}
