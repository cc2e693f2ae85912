//! What can be wrong with what we send, and with what we are sent.

use crate::header::FrameKind;

/// Why a message cannot be sent. Nothing of it was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is larger than its kind may be.
    #[error("{len} bytes are more than the {max} allowed")]
    TooLarge {
        /// How large it is.
        len: usize,
        /// How large it may be.
        max: usize,
    },
    /// More descriptors ride on it than may ride on one message.
    #[error("{handles} handles are more than the {max} allowed")]
    TooManyHandles {
        /// How many there are.
        handles: usize,
        /// How many there may be.
        max: usize,
    },
    /// Another number of descriptors was given than the control message says.
    #[error("the message carries {expected} handles, {given} were given")]
    HandleCount {
        /// How many the message says.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// The other side does not read: too many control messages wait for it.
    #[error("{waiting} bytes wait to be read, {max} may")]
    Unread {
        /// How many bytes wait.
        waiting: usize,
        /// How many may.
        max: usize,
    },
    /// The control message refuses to be serialised.
    #[error("the control message cannot be serialised")]
    Serialize,
}

/// Why the bytes received are no stream of frames. There is no way to go on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The stream does not begin with a hello.
    #[error("the stream does not begin with a hello")]
    NoHello,
    /// The other side speaks another version of the protocol.
    #[error("the other side speaks version {theirs} of the protocol, not {ours}")]
    Version {
        /// The version spoken here, [`PROTOCOL`](crate::PROTOCOL).
        ours: u16,
        /// The version that its hello names.
        theirs: u16,
    },
    /// A second hello.
    #[error("a second hello")]
    HelloAgain,
    /// A kind of frame that does not exist.
    #[error("no kind of frame has the number {0}")]
    UnknownKind(u8),
    /// A flag that does not exist for this kind of frame.
    #[error("unknown flags {flags:#04x} on a {frame} frame")]
    UnknownFlags {
        /// The kind of frame.
        frame: FrameKind,
        /// All of its flags.
        flags: u8,
    },
    /// A frame is larger than its kind may be.
    #[error("a {frame} frame of {len} bytes, {max} are allowed")]
    TooLarge {
        /// The kind of frame.
        frame: FrameKind,
        /// How large it claims to be.
        len: usize,
        /// How large it may be.
        max: usize,
    },
    /// A user message, of which this fragment is a part, is larger than it may be.
    #[error("a user message of {len} bytes or more, {max} are allowed")]
    MessageTooLarge {
        /// How large it is with this fragment.
        len: usize,
        /// How large it may be.
        max: usize,
    },
    /// More descriptors ride on a frame than may.
    #[error("a {frame} frame with {handles} handles, {max} are allowed")]
    TooManyHandles {
        /// The kind of frame.
        frame: FrameKind,
        /// How many it claims.
        handles: usize,
        /// How many it may carry; none on a fragment that continues a message.
        max: usize,
    },
    /// A frame is complete, but not all of its descriptors have come.
    #[error("a frame with {expected} handles, {held} have come")]
    MissingHandle {
        /// How many the frame carries.
        expected: usize,
        /// How many have come.
        held: usize,
    },
    /// More descriptors came ahead of their frames than may.
    #[error("more than {max} handles without a frame")]
    TooManyHeld {
        /// How many may be held.
        max: usize,
    },
    /// Another number of descriptors rides on a control frame than its message says.
    #[error("the message carries {expected} handles, {found} are on its frame")]
    HandleCount {
        /// How many the message says.
        expected: usize,
        /// How many are on the frame.
        found: usize,
    },
    /// A body that does not say what its frame's kind should.
    #[error("malformed {0} frame")]
    Malformed(FrameKind),
    /// Bytes after the end of a control message, inside its frame.
    #[error("{0} bytes after the end of a control message")]
    TrailingBytes(usize),
    /// A fragment is encoded otherwise than the message it continues.
    #[error("the encoding changes inside a message")]
    MixedEncoding,
    /// More of the user lane was sent than there was credit for.
    #[error("the fragment costs {charge} bytes of credit, {available} are left")]
    Overrun {
        /// What the fragment costs.
        charge: u32,
        /// What the window has left.
        available: u32,
    },
}
