//! Descriptors that were received, and where some were lost on the way.
//!
//! A process that has no room for a descriptor loses it, and learns no more than that this has
//! happened in a certain read. All descriptors of one write come with one read (unix(7)); of a
//! write, the first frame that counts any says so. So the n-th read with descriptors belongs to
//! the n-th such frame and to those behind it, and what is lost can be told apart from what
//! comes later.

use std::collections::VecDeque;

use crate::error::DecodeError;
use crate::limits::HANDLES_HELD_MAX;

/// In the order in which they came.
pub(crate) struct Held<H> {
    handles: VecDeque<H>,
    /// How many were ever taken out.
    taken: u64,
    /// Reads with descriptors.
    groups: u64,
    /// Frames that began such a group.
    begun: u64,
    holes: VecDeque<Hole>,
}

/// From here on, the rest of a group is lost.
struct Hole {
    /// So many descriptors came before it.
    at: u64,
    group: u64,
}

impl<H> Held<H> {
    pub(crate) const fn new() -> Self {
        Self { handles: VecDeque::new(), taken: 0, groups: 0, begun: 0, holes: VecDeque::new() }
    }

    /// Takes in the descriptors of one read, of which some may have been lost.
    pub(crate) fn add(
        &mut self,
        handles: impl IntoIterator<Item = H>,
        lossy: bool,
    ) -> Result<(), DecodeError> {
        let before = self.handles.len();
        for handle in handles {
            if self.handles.len() == HANDLES_HELD_MAX {
                return Err(DecodeError::TooManyHeld { max: HANDLES_HELD_MAX });
            }
            self.handles.push_back(handle);
        }
        if lossy || self.handles.len() > before {
            self.groups += 1;
        }
        if self.holes.len() == HANDLES_HELD_MAX {
            return Err(DecodeError::TooManyHeld { max: HANDLES_HELD_MAX });
        }
        if lossy {
            let at = self.taken + self.handles.len() as u64;
            self.holes.push_back(Hole { at, group: self.groups });
        }
        Ok(())
    }

    /// A frame that counts descriptors begins a group, or goes on with one.
    pub(crate) fn frame(&mut self, begins_group: bool) {
        self.begun += u64::from(begins_group);
        while self.holes.front().is_some_and(|hole| hole.group < self.begun) {
            self.holes.pop_front();
        }
    }

    /// The descriptors of a frame, and how many of them are lost.
    pub(crate) fn take(&mut self, expected: usize) -> Result<(Vec<H>, usize), DecodeError> {
        let hole = self.holes.front().filter(|hole| hole.group == self.begun);
        let lost = hole.map_or(0, |hole| {
            let there = usize::try_from(hole.at - self.taken).unwrap_or(usize::MAX);
            expected.saturating_sub(there)
        });
        let found = expected - lost;
        if self.handles.len() < found {
            return Err(DecodeError::MissingHandle { expected, held: self.handles.len() });
        }
        self.taken += found as u64;
        Ok((self.handles.drain(..found).collect(), lost))
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn clear(&mut self) {
        self.handles.clear();
        self.holes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_apart_from_what_comes_later() {
        let mut held = Held::new();
        // Three frames in one write, of which the first two descriptors arrive; then another write.
        held.add([1, 2], true).expect("there is room");
        held.add([5, 6], false).expect("there is room");
        held.frame(true);
        assert_eq!(held.take(1), Ok((vec![1], 0)));
        held.frame(false);
        assert_eq!(held.take(2), Ok((vec![2], 1)));
        held.frame(false);
        assert_eq!(held.take(1), Ok((vec![], 1)));
        held.frame(true);
        assert_eq!(held.take(2), Ok((vec![5, 6], 0)));
        assert_eq!(held.take(1), Err(DecodeError::MissingHandle { expected: 1, held: 0 }));
    }

    #[test]
    fn a_write_may_lose_everything_and_so_may_the_next() {
        let mut held = Held::new();
        held.add([], true).expect("there is room");
        held.add([], true).expect("there is room");
        held.add([3], false).expect("there is room");
        for _ in 0..2 {
            held.frame(true);
            assert_eq!(held.take(1), Ok((vec![], 1)));
        }
        held.frame(true);
        assert_eq!(held.take(1), Ok((vec![3], 0)));
        assert!(held.holes.is_empty());
    }
}
