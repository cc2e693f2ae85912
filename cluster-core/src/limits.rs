//! Every limit of the core, in one place. Each one is reached by a test.

/// How many connections may wait in the kernel when a listener does not say (Node: 511).
pub const BACKLOG_DEFAULT: u32 = 511;

/// How many workers a primary may have at a time.
pub const WORKERS_MAX: usize = 4096;

/// How many listeners a worker may share at a time.
pub const LISTENERS_PER_WORKER: usize = 1024;

/// How many bytes of data a listener may carry for all that share it.
pub const LISTENER_DATA_MAX: usize = 16 * 1024;

/// How many accepted connections of one listener wait in the primary when no worker has room,
/// unless the configuration says otherwise. Beyond it, accepting pauses and connections wait
/// in the kernel's backlog.
pub const WAITING_DEFAULT: usize = 256;

/// How many connections a worker may have been handed and not yet taken, unless the
/// configuration says otherwise.
pub const WINDOW_DEFAULT: usize = 8;

/// The most that a window may be set to.
pub const WINDOW_MAX: usize = 1024;

/// How long accepting rests after the operating system refused it for want of descriptors or
/// memory, unless a connection ends earlier.
pub const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(50);
