//! What it was measured on.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

/// The machine, and how busy it is.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) kernel: String,
    /// How many tasks wanted to run in the last minute.
    pub(super) load: String,
}

impl Machine {
    /// As it is now. What cannot be found out is left empty.
    pub(super) fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let first = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
        Self {
            processors: available_parallelism().map_or(0, Into::into),
            kernel: first(read("/proc/sys/kernel/osrelease")),
            load: first(read("/proc/loadavg")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processors, kernel, load } = self;
        write!(f, "{processors} processors, Linux {kernel}, load {load}")
    }
}
