//! Every limit of the wire, in one place. Each one is reached by a test.
//!
//! Both ends of a channel must agree on these numbers; a change of one that either end checks
//! or presumes is a change of [`PROTOCOL`](crate::PROTOCOL).

use crate::header::HEADER_LEN;

/// The longest name of a build in a [`Hello`](crate::Hello), in bytes.
pub const HELLO_BUILD_MAX: usize = 64;

/// The largest control message, in bytes.
pub const CONTROL_MAX: usize = 64 * 1024;

/// How many bytes of control messages may wait for a peer that does not read, before the next one
/// is refused. As much as the answers to all that an honest worker may ask for at once.
pub const CONTROL_WAITING_MAX: usize = 32 * 1024 * 1024;

/// The largest piece of a user message that travels as one frame, in bytes. A control frame
/// waits for no more than what is staged at a time, see [`CHUNK_TARGET`].
pub const FRAGMENT_MAX: usize = 32 * 1024;

/// The largest user message, in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// How many descriptors may ride on one frame, and so on one message.
pub const HANDLES_PER_FRAME: usize = 64;

/// How many descriptors may be sent at once: Linux refuses more than `SCM_MAX_FD` (253).
pub const HANDLES_PER_CHUNK: usize = 250;

/// How many descriptors may have arrived ahead of their frames. Two chunks' worth is what an
/// honest peer can cause.
pub const HANDLES_HELD_MAX: usize = 1024;

/// A chunk takes no further frame once it is this long, in bytes; its last frame may reach
/// beyond.
pub const CHUNK_TARGET: usize = 64 * 1024;

/// The least room that a decoder offers to read into, in bytes.
pub const READ_SIZE: usize = 64 * 1024;

/// How much of the user lane may be on its way to, or waiting in, the other side, in bytes of
/// credit.
pub const WINDOW: u32 = 256 * 1024;

/// What a message costs in credit beside its bytes, so that empty ones are bounded, too.
pub const MESSAGE_OVERHEAD: usize = 64;

/// What a descriptor on a user message costs in credit, so that no more than
/// `WINDOW / HANDLE_OVERHEAD` of them wait in a process that is slow to consume.
pub const HANDLE_OVERHEAD: usize = 1024;

/// The largest frame, in bytes.
pub(crate) const FRAME_MAX: usize =
    HEADER_LEN + if CONTROL_MAX > FRAGMENT_MAX { CONTROL_MAX } else { FRAGMENT_MAX };

/// What the costliest fragment takes from the window.
pub(crate) const CHARGE_MAX: usize =
    HEADER_LEN + FRAGMENT_MAX + MESSAGE_OVERHEAD + HANDLES_PER_FRAME * HANDLE_OVERHEAD;

// Up to half a window of credit stays unannounced, so the other half must let any fragment
// through, or both sides would wait for ever.
const _: () = assert!(CHARGE_MAX <= WINDOW as usize / 2);
const _: () = assert!(HANDLES_PER_FRAME <= HANDLES_PER_CHUNK);
