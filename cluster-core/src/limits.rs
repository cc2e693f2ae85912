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
/// configuration says otherwise. Beside these, it may have one of each of its listeners.
pub const WINDOW_DEFAULT: usize = 8;

/// The most that a window may be set to.
pub const WINDOW_MAX: usize = 1024;

/// How long accepting rests after the operating system refused it for want of descriptors or
/// memory, unless a connection is handed over earlier.
pub const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(50);

/// How many connections a fresh worker may have untaken; its window then grows as it takes
/// them, up to the configured one.
pub const WINDOW_START: usize = 2;

/// How many turns a worker that could not take them is owed at most.
pub const TURNS_OWED: u64 = 8;

/// A connection that is taken within this time was taken promptly, and its worker may have one
/// more untaken; otherwise half as many.
pub const TAKEN_PROMPTLY: std::time::Duration = std::time::Duration::from_millis(50);

/// How many connections the primary answers for, waiting and in flight together, unless the
/// configuration says otherwise. (Unix lets a process that is not root have as many descriptors in
/// flight as it may have open, see unix(7): `ETOOMANYREFS`; and it may have to take all of them
/// back.)
pub const BUDGET_DEFAULT: usize = 1024;

/// The least part of a full share that a fresh worker gets under a slow start, in hundredths.
pub const SLOW_START_LEAST: u32 = 5;

/// How many hundredths of an equal part of all connections a worker may have under the sticky
/// schedule when nothing else is said.
pub const STICKY_BOUND_DEFAULT: u32 = 125;

/// How often the primary looks whether connections are queued for a worker that does not accept
/// from the socket of its own, or does not take what it was handed though others could have it.
pub const STALLED_CHECK: std::time::Duration = std::time::Duration::from_millis(100);

/// A worker that has not said that it is awake stalls when this many checks in a row have found
/// connections queued, and not fewer than before, or untaken, and none taken.
pub const STALLED_CHECKS: u32 = 2;

/// A worker that says that it is awake stalls when this many checks in a row have found
/// connections queued, and not fewer than before, or untaken, and none taken.
pub const STALLED_CHECKS_MAX: u32 = 10;
