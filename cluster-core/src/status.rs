//! How a process ended, and what a worker's state is.

use std::fmt;
use std::str::FromStr;

/// How a worker's process ended: with a code or by a signal, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which one.
        signal: Signal,
        /// Whether a core image was written.
        core_dumped: bool,
    },
    /// It ended, but its status went to somebody else (the application ignores `SIGCHLD`, or
    /// waited for the process itself).
    Lost,
}

impl ExitStatus {
    /// The code, if it ended by itself.
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal { .. } | Self::Lost => None,
        }
    }

    /// The signal that ended it.
    pub const fn signal(self) -> Option<Signal> {
        match self {
            Self::Signal { signal, .. } => Some(signal),
            Self::Code(_) | Self::Lost => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    /// `code=0 signal=-`, with `-` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code={code} signal=-"),
            Self::Signal { signal, .. } => write!(f, "code=- signal={signal}"),
            Self::Lost => write!(f, "code=- signal=-"),
        }
    }
}

/// A signal by its POSIX name; the number belongs to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// One that has a name, such as `SIGTERM`.
    Named(&'static str),
    /// One without (real-time signals): its number.
    Numbered(i32),
}

impl Signal {
    /// Asks a process to end.
    pub const TERM: Self = Self::Named("SIGTERM");
    /// Ends a process; it cannot be caught.
    pub const KILL: Self = Self::Named("SIGKILL");
    /// Interrupts a process, as a terminal's Ctrl-C does.
    pub const INT: Self = Self::Named("SIGINT");
    /// Stops a process until it is continued; it cannot be caught.
    pub const STOP: Self = Self::Named("SIGSTOP");
    /// Continues a stopped process.
    pub const CONT: Self = Self::Named("SIGCONT");
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Numbered(number) => write!(f, "SIG{number}"),
        }
    }
}

/// The text names no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal: {0}")]
pub struct UnknownSignal(pub String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Takes names in either case, with or without `SIG` (Node: names are case-insensitive).
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        NAMES
            .iter()
            .find(|name| &name[3..] == bare)
            .map(|name| Self::Named(name))
            .ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

/// Where a worker stands, derived from what is known of its process, channel and intent.
///
/// Node: `worker.state`, with `Draining` added for a graceful leave under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// Its process was asked for or started.
    Forked,
    /// Its program runs and talks to the primary.
    Online,
    /// It shares at least one listener, or did.
    Listening,
    /// It has begun to leave gracefully.
    Draining,
    /// Its channel is closed.
    Disconnected,
    /// Its process has ended, whether or not its channel has.
    Dead,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forked => "forked",
            Self::Online => "online",
            Self::Listening => "listening",
            Self::Draining => "draining",
            Self::Disconnected => "disconnected",
            Self::Dead => "dead",
        })
    }
}

/// The signals that POSIX and Linux name.
const NAMES: [&str; 31] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGKILL",
    "SIGPIPE",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_either_case_with_or_without_prefix() {
        assert_eq!("sigterm".parse(), Ok(Signal::TERM));
        assert_eq!("KILL".parse(), Ok(Signal::KILL));
        assert_eq!("SIGNOTHING".parse::<Signal>(), Err(UnknownSignal("SIGNOTHING".into())));
        assert_eq!("0".parse::<Signal>(), Err(UnknownSignal("0".into())));
    }

    #[test]
    fn statuses_print_what_is_there() {
        assert_eq!(ExitStatus::Code(3).to_string(), "code=3 signal=-");
        let killed = ExitStatus::Signal { signal: Signal::KILL, core_dumped: false };
        assert_eq!(killed.to_string(), "code=- signal=SIGKILL");
        assert_eq!(ExitStatus::Lost.to_string(), "code=- signal=-");
    }
}
