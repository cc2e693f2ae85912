//! Turns what the two ends of a cluster's channel say into bytes, and bytes into what they say.
//!
//! This crate does not know sockets, descriptors or time. Bytes are read and written by its
//! caller, in pieces of any size; a descriptor is a value of the caller's type `H`, of which only
//! the number and the order matter here.
//!
//! # The wire
//!
//! A stream of frames in each direction. Numbers are little endian.
//!
//! ```text
//!   0      1      2             4                           8
//!   +------+------+------+------+------+------+------+------+-------- - -
//!   | kind | flags|   handles   |          length           |  body ...
//!   +------+------+------+------+------+------+------+------+-------- - -
//!
//!   kind         flags         handles       body
//!   1  hello     -             0             "cluster\n", version u16, build (UTF-8)
//!   2  control   -             0 ..= 64      a control message in postcard
//!   3  user      1 more        0 ..= 64      a fragment of a user message
//!                2 JSON        (first only)
//!   4  credit    -             0             u32
//! ```
//!
//! * The hello is the first frame and comes once. Its version decides whether the two ends
//!   understand each other at all.
//! * *Two lanes.* A user message travels in fragments, and the control lane (hello, control,
//!   credit) goes between them: no control message waits for a long user message to end.
//! * *Credit.* A sender may have no more of the user lane under way than the receiver has room
//!   for. A fragment costs its bytes and its header, a message a little more, a descriptor
//!   considerably more; the receiver gives credit back as the application consumes messages.
//!   A full window is back-pressure for the sender, never a queue without end.
//! * *Descriptors.* A frame says how many ride on it. They are sent no later than its first byte,
//!   and the receiver takes as many from the front of those that have come.
//!
//! Connections that are handed over do not travel in these streams. Each worker's listener has a
//! queue of its own for them, its *passage*, in which each one is a message: its descriptor, and a
//! [`Slip`] of [`SLIP_BYTES`] that says which one it is and who is at its other end. Slips have no
//! frame, need no credit, and nothing answers them.
//!
//! # Example
//!
//! Both lanes, from an [`Encoder`] to a [`Decoder`]. The copy in the middle stands for
//! sendmsg(2) and recvmsg(2).
//!
//! ```
//! use cluster_core::{ListenerId, ToWorker};
//! use cluster_ipc::{Decoder, Encoder, Encoding, Frame, Hello, Payload};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut encoder = Encoder::new(&Hello::new("example 1.0")?);
//! encoder.push_user(Payload::encode(Encoding::Json, "good morning")?, vec![])?;
//! let passage = ToWorker::Passage { listener: ListenerId(1) };
//! encoder.push_control(&passage, ["a descriptor"])?;
//!
//! let mut decoder = Decoder::<ToWorker, &str>::new();
//! let mut seen = Vec::new();
//! while let Some(chunk) = encoder.chunk() {
//!     let spare = decoder.spare();
//!     let sent = chunk.bytes.len().min(spare.len());
//!     spare[..sent].copy_from_slice(&chunk.bytes[..sent]);
//!     decoder.filled(sent, chunk.handles.iter().copied());
//!     drop(encoder.advance(sent));
//!
//!     while let Some(frame) = decoder.pop()? {
//!         match frame {
//!             Frame::Hello(hello) => seen.push(format!("hello from {}", hello.build())),
//!             Frame::Control { message, handles } => {
//!                 assert_eq!(message, passage);
//!                 seen.push(format!("a passage on {}", handles[0]));
//!             }
//!             Frame::User { payload, charge, .. } => {
//!                 seen.push(payload.decode::<String>()?);
//!                 decoder.consumed(charge);
//!             }
//!             Frame::Credit(bytes) => encoder.grant(bytes),
//!         }
//!     }
//!     if let Some(credit) = decoder.credit_due() {
//!         // A real end has an encoder for the other direction, too: `push_credit(credit)`.
//!         encoder.grant(credit);
//!     }
//! }
//! // The control message has overtaken the user's.
//! assert_eq!(seen, ["hello from example 1.0", "a passage on a descriptor", "good morning"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits and hidden costs
//!
//! All limits are in [`limits`]; whatever exceeds one is a typed error, at the sender before it is
//! queued and at the receiver before it is stored. A decoder has a buffer of a fixed 128 KiB and
//! holds at most one window of complete messages and one message in progress. An encoder has a
//! buffer of about as much, and whatever was pushed and cannot be sent yet.
//!
//! Bytes are copied once at each end. Small frames cost no allocation in the encoder once its
//! buffers have grown, and a user message received costs some for its payload only beyond 38 bytes:
//! few are kept in place. A slip costs none.
//!
//! # Errors
//!
//! [`EncodeError`] and [`PayloadError`] concern one message; the stream goes on without it.
//! [`DecodeError`] concerns the stream: the peer is of no use any more. No bytes, however
//! malicious, cause a panic, an allocation beyond the limits, or the loss of a handle.
//!
//! # Features
//!
//! None.
//!
//! # Platform
//!
//! Any: there is nothing here that depends on one.

#![forbid(unsafe_code)]

mod assembly;
mod buffer;
mod bytes;
mod credit;
mod decoder;
mod encoder;
mod error;
mod frame;
mod header;
mod held;
mod hello;
mod lane;
pub mod limits;
mod message;
mod payload;
mod slip;
mod stage;

pub use credit::Charge;
pub use decoder::Decoder;
pub use encoder::{Chunk, Encoder};
pub use error::{DecodeError, EncodeError};
pub use frame::Frame;
pub use header::FrameKind;
pub use hello::{Hello, PROTOCOL};
pub use message::ControlMessage;
pub use payload::{Encoding, Payload, PayloadError};
pub use slip::{SLIP_BYTES, Slip};
