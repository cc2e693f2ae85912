//! Every limit of this crate, in one place. Each one is reached by a test.

use std::time::Duration;

/// How many bytes of user messages may wait to be written to one channel.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// How many events are kept for a program that has not yet asked for any.
pub const BACKLOG_MAX: usize = 4096;

/// How many connections one listener accepts in one turn of the host.
pub const ACCEPTS_PER_TURN: usize = 32;

/// How many reads one channel gets in one turn of the host.
pub const READS_PER_TURN: usize = 4;

/// How many sockets of a group one program can tell apart: the kernel takes 4,096 instructions
/// (`BPF_MAXINSNS`), and each socket may need two.
pub const PLACES_MAX: usize = 2_000;

/// At how many ports a group of sockets tries to be, if it may be at any: each may be taken by
/// others between the moment when it is found free and that when it is bound.
pub const PORTS_TRIED: usize = 16;

/// A worker that has no more free descriptors than this looks whether there is one for a
/// connection before it takes it.
pub const DESCRIPTORS_SPARE: u64 = 32;

/// How long a connection that was handed over may be in its passage before the primary looks
/// whether the worker has taken it, if nothing else makes it look. Each further look comes after
/// twice the time, up to [`LAST_LOOK`].
pub const FIRST_LOOK: Duration = Duration::from_millis(20);

/// The longest time between two looks into a passage where something is.
pub const LAST_LOOK: Duration = Duration::from_secs(1);

/// From so many turns a second on that accept connections, a primary is patient: it does not
/// interrupt others to accept (sched(7), `SCHED_BATCH`). That is about a tenth of a processor for
/// waking up alone.
pub const PATIENT_FROM: u64 = 3_000;

/// Below so many connections a second, a primary is patient no longer.
pub const PATIENT_BELOW: u64 = 1_500;

/// How long a channel or a passage rests after the operating system refused to take a descriptor
/// (too many are in flight, memory is short, or a passage is full) before it is tried again.
pub const SEND_RETRY: Duration = Duration::from_millis(10);
