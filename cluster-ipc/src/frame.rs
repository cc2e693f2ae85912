//! What comes out of a decoder.

use crate::credit::Charge;
use crate::hello::Hello;
use crate::payload::Payload;

/// A frame received, or a user message put together from several. One that exists is valid.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<T, H> {
    /// The other side's greeting: the first frame, and no other.
    Hello(Hello),
    /// A control message.
    Control {
        /// What it says.
        message: T,
        /// The descriptors that ride along, as many as the message says.
        handles: Vec<H>,
    },
    /// A complete message of the other side's application.
    User {
        /// What it says.
        payload: Payload,
        /// The descriptors that ride along.
        handles: Vec<H>,
        /// How many more rode along and were lost, the last ones.
        lost: usize,
        /// Hand it to [`Decoder::consumed`](crate::Decoder::consumed) when the application has
        /// taken the message.
        charge: Charge,
    },
    /// The other side has room for this much more of the user lane, in bytes: for
    /// [`Encoder::grant`](crate::Encoder::grant).
    Credit(u32),
}
