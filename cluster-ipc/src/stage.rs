//! What goes out next: the frames of one chunk, in one buffer.

use std::collections::VecDeque;
use std::vec::Drain;

use crate::header::{FLAGS_AT, Flags};
use crate::limits::{CHUNK_TARGET, HANDLES_PER_CHUNK};

/// The chunk being sent. It is filled when it is empty, and then sent in as many pieces as it
/// takes; its handles go with the first piece.
pub(crate) struct Stage<H> {
    bytes: Vec<u8>,
    sent: usize,
    handles: Vec<H>,
    /// Where in `bytes` user messages end.
    ends: VecDeque<usize>,
    user_written: u64,
}

impl<H> Stage<H> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            handles: Vec::new(),
            ends: VecDeque::new(),
            user_written: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a frame with this many handles may be put here.
    pub(crate) fn has_room(&self, handles: usize) -> bool {
        self.bytes.len() < CHUNK_TARGET && self.handles.len() + handles <= HANDLES_PER_CHUNK
    }

    pub(crate) fn put(&mut self, bytes: &[u8], handles: impl IntoIterator<Item = H>) {
        debug_assert_eq!(self.sent, 0, "a chunk under way is not added to");
        let (frame, before) = (self.bytes.len(), self.handles.len());
        self.bytes.extend_from_slice(bytes);
        self.handles.extend(handles);
        if before == 0 && !self.handles.is_empty() {
            self.bytes[frame + FLAGS_AT] |= Flags::GROUP;
        }
    }

    /// Notes that a user message ends here.
    pub(crate) fn mark(&mut self) {
        self.ends.push_back(self.bytes.len());
    }

    /// The bytes that are not sent yet, and the handles if none is.
    pub(crate) fn rest(&self) -> (&[u8], &[H]) {
        (&self.bytes[self.sent..], &self.handles)
    }

    pub(crate) fn advance(&mut self, bytes: usize) -> Drain<'_, H> {
        assert!(bytes <= self.rest().0.len(), "no more can be sent than there is");
        self.sent += bytes;
        while self.ends.front().is_some_and(|end| *end <= self.sent) {
            self.ends.pop_front();
            self.user_written += 1;
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        let gone = if bytes > 0 { self.handles.len() } else { 0 };
        self.handles.drain(..gone)
    }

    /// How many user messages are sent to their last byte.
    pub(crate) const fn user_written(&self) -> u64 {
        self.user_written
    }

    /// How many bytes the buffer has room for.
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
