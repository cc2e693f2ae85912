//! Where bytes are read into.

use crate::limits::{FRAME_MAX, READ_SIZE};

/// A buffer of fixed size: beside an incomplete frame there is always room for one read.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; READ_SIZE + FRAME_MAX].into(), start: 0, end: 0 }
    }

    /// What was read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room to read into.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < READ_SIZE {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    pub(crate) fn fill(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes.len() - self.end, "no more can be read than there is room");
        self.end += bytes;
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "only what is there is consumed");
        if self.start == self.end {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_beside_an_incomplete_frame() {
        let mut buffer = Buffer::new();
        for _ in 0..10 {
            let room = buffer.spare().len();
            assert!(room >= READ_SIZE);
            buffer.spare().fill(7);
            buffer.fill(room);
            buffer.consume(buffer.filled().len() - (FRAME_MAX - 1));
            assert!(buffer.filled().iter().all(|byte| *byte == 7));
        }
    }
}
