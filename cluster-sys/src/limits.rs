//! Every limit of this crate, in one place. Each one is reached by a test.

use std::time::Duration;

/// How many bytes of user messages may wait to be written to one channel.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// How many connections one listener accepts in one turn of the host.
pub const ACCEPTS_PER_TURN: usize = 32;

/// How many reads one channel gets in one turn of the host.
pub const READS_PER_TURN: usize = 4;

/// How long a channel rests after the operating system refused to take a descriptor (too many
/// are in flight, or memory is short) before it is tried again.
pub const SEND_RETRY: Duration = Duration::from_millis(10);
