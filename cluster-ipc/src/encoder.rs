//! Messages in, chunks of bytes out.

use std::fmt;
use std::vec::Drain;

use crate::error::EncodeError;
use crate::hello::Hello;
use crate::lane::{ControlLane, UserLane};
use crate::message::ControlMessage;
use crate::payload::Payload;
use crate::stage::Stage;

/// The sending half of a channel, without the channel.
///
/// Messages are pushed into one of two lanes; [`chunk`](Self::chunk) shows what to send next, and
/// [`advance`](Self::advance) is told how much of it was sent. Control frames go before user
/// messages and between their fragments. User messages go only as far as there is credit.
///
/// `H` stands for a descriptor. The encoder keeps each one until the bytes that it rides on are
/// sent, then gives it back. Every `H` given to it comes back from `advance`, or is dropped with
/// the encoder or with a message that was refused.
///
/// The user lane has no end: its messages are counted by whoever pushes them, who hears from
/// [`user_written`](Self::user_written) how many are gone.
pub struct Encoder<H> {
    control: ControlLane<H>,
    user: UserLane<H>,
    stage: Stage<H>,
}

impl<H> Encoder<H> {
    /// An encoder whose first frame is this greeting.
    pub fn new(hello: &Hello) -> Self {
        let mut control = ControlLane::new();
        control.push_hello(hello);
        Self { control, user: UserLane::new(), stage: Stage::new() }
    }

    /// Queues a control message with the descriptors that ride along.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] beyond [`CONTROL_MAX`](crate::limits::CONTROL_MAX),
    /// [`EncodeError::HandleCount`] for a number of handles other than the message's,
    /// [`EncodeError::TooManyHandles`] beyond
    /// [`HANDLES_PER_FRAME`](crate::limits::HANDLES_PER_FRAME), [`EncodeError::Unread`] beyond
    /// [`CONTROL_WAITING_MAX`](crate::limits::CONTROL_WAITING_MAX), and [`EncodeError::Serialize`]
    /// if the message refuses. Nothing is queued then, and the handles are dropped.
    pub fn push_control<T: ControlMessage>(
        &mut self,
        message: &T,
        handles: impl IntoIterator<Item = H>,
    ) -> Result<(), EncodeError> {
        self.control.push_message(message, handles)
    }

    /// Queues a message of the application with the descriptors that ride along.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] beyond [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX), and
    /// [`EncodeError::TooManyHandles`] beyond
    /// [`HANDLES_PER_FRAME`](crate::limits::HANDLES_PER_FRAME). Nothing is queued then, and the
    /// handles are dropped.
    pub fn push_user(&mut self, payload: Payload, handles: Vec<H>) -> Result<(), EncodeError> {
        self.user.push(payload, handles)
    }

    /// Queues credit for the other side, as [`Decoder::credit_due`](crate::Decoder::credit_due)
    /// says. It travels in the control lane.
    pub fn push_credit(&mut self, bytes: u32) {
        self.control.push_credit(bytes);
    }

    /// The other side has granted credit ([`Frame::Credit`](crate::Frame::Credit)).
    pub fn grant(&mut self, bytes: u32) {
        self.user.grant(bytes);
    }

    /// What to send next, or `None` if there is nothing, or nothing that there is credit for.
    ///
    /// It stays the same until some of it is sent. The handles are in the order of the wire, and
    /// go with the first byte of the chunk.
    pub fn chunk(&mut self) -> Option<Chunk<'_, H>> {
        if self.stage.is_empty() {
            self.fill();
        }
        let (bytes, handles) = self.stage.rest();
        (!bytes.is_empty()).then_some(Chunk { bytes, handles })
    }

    /// That many bytes of the [`chunk`](Self::chunk) were sent. If any were, all of its handles
    /// went with them, and come back here to be closed.
    ///
    /// # Panics
    ///
    /// If the chunk is not that long.
    pub fn advance(&mut self, bytes: usize) -> Drain<'_, H> {
        self.stage.advance(bytes)
    }

    /// Whether [`chunk`](Self::chunk) has nothing to send now.
    pub fn is_idle(&self) -> bool {
        self.stage.is_empty() && self.control.is_empty() && !self.user.is_ready()
    }

    /// How many user messages are sent to their last byte.
    pub const fn user_written(&self) -> u64 {
        self.stage.user_written()
    }

    fn fill(&mut self) {
        loop {
            // A control frame that finds no room waits for the next chunk, and users behind it.
            let staged = if self.control.is_empty() {
                self.user.stage(&mut self.stage)
            } else {
                self.control.stage(&mut self.stage)
            };
            if !staged {
                return;
            }
        }
    }
}

impl<H> fmt::Debug for Encoder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("user_written", &self.user_written())
            .finish_non_exhaustive()
    }
}

/// What to send next, see [`Encoder::chunk`].
#[derive(Debug)]
pub struct Chunk<'a, H> {
    /// The bytes, at least one.
    pub bytes: &'a [u8],
    /// The descriptors that go with the first byte, at most
    /// [`HANDLES_PER_CHUNK`](crate::limits::HANDLES_PER_CHUNK).
    pub handles: &'a [H],
}

#[cfg(test)]
mod tests {
    use cluster_core::ToWorker;

    use super::*;
    use crate::limits::{CHUNK_TARGET, FRAME_MAX};
    use crate::payload::Encoding;

    fn send_all(encoder: &mut Encoder<()>) {
        while let Some(chunk) = encoder.chunk() {
            let sent = chunk.bytes.len();
            encoder.advance(sent);
        }
    }

    /// One round of small messages in both lanes allocates as much as a thousand.
    #[test]
    fn buffers_are_used_again() {
        let mut encoder = Encoder::new(&Hello::new("").unwrap());
        let mut capacities = Vec::new();
        for round in 0..1000 {
            for _ in 0..100 {
                encoder.push_control(&ToWorker::Disconnect, []).unwrap();
                let payload = Payload::from_bytes(Encoding::Json, vec![7; 1000]);
                encoder.push_user(payload, vec![]).unwrap();
                encoder.grant(2000);
            }
            send_all(&mut encoder);
            assert!(encoder.is_idle());
            if round % 500 == 0 {
                capacities.push(encoder.stage.capacity());
            }
        }
        assert_eq!(capacities[0], capacities[1]);
        assert!(capacities[0] <= 2 * (CHUNK_TARGET + FRAME_MAX));
    }

    #[test]
    #[should_panic(expected = "no more can be sent than there is")]
    fn more_cannot_be_sent_than_there_is() {
        let mut encoder = Encoder::<()>::new(&Hello::new("").unwrap());
        let len = encoder.chunk().unwrap().bytes.len();
        encoder.advance(len + 1);
    }
}
