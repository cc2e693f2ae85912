//! How much of the user lane may be under way: two numbers and a threshold.
//!
//! Every fragment has a [`charge`]. The sender may send as long as the charges fit into what it
//! has been granted; the receiver grants again what has been *released*. The bytes of a complete
//! message are released when the application has consumed it. The bytes of a message in progress
//! are released at once as long as no complete message waits for the application: so a message
//! larger than the window comes through, and no more than a window and one message is ever in
//! memory. Credit is announced when half a window has gathered, not for every message.

use std::ops::AddAssign;

use crate::error::DecodeError;
use crate::header::{HEADER_LEN, Header};
use crate::limits::{HANDLE_OVERHEAD, MESSAGE_OVERHEAD};

/// What a fragment takes from the window.
pub(crate) const fn charge(header: &Header) -> u32 {
    let message = if header.flags.more { 0 } else { MESSAGE_OVERHEAD };
    (HEADER_LEN + header.length() + message + header.handles() * HANDLE_OVERHEAD) as u32
}

/// What is still to be released for one user message or, added up, for several.
///
/// One that is dropped is credit that the other side never sees again.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "the other side stalls unless `Decoder::consumed` gets it back"]
pub struct Charge {
    messages: u32,
    bytes: u32,
}

impl Charge {
    /// How many bytes of credit it holds.
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The charge as a number, which can be counted together with others in one atomic
    /// operation: the sum is that of all charges of one window.
    pub const fn into_number(self) -> u64 {
        (self.messages as u64) << 32 | self.bytes as u64
    }

    /// The charge that a number, or a sum of numbers, stands for.
    pub const fn from_number(number: u64) -> Self {
        Self { messages: (number >> 32) as u32, bytes: number as u32 }
    }
}

impl AddAssign for Charge {
    fn add_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The sender's view: what it has been granted and not yet used.
#[derive(Debug)]
pub(crate) struct SendWindow {
    available: u32,
}

impl SendWindow {
    pub(crate) const fn new(size: u32) -> Self {
        Self { available: size }
    }

    pub(crate) const fn admits(&self, charge: u32) -> bool {
        charge <= self.available
    }

    /// Takes a charge that the window [`admits`](Self::admits).
    pub(crate) fn take(&mut self, charge: u32) {
        debug_assert!(self.admits(charge), "only what is admitted is sent");
        self.available = self.available.saturating_sub(charge);
    }

    pub(crate) fn grant(&mut self, bytes: u32) {
        self.available = self.available.saturating_add(bytes);
    }
}

/// The receiver's view. `open + released + in_progress +` the charges given out is always the
/// size of the window.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    /// When this much is released, it is announced.
    threshold: u32,
    /// What the other side may still send.
    open: u32,
    /// What may be granted again.
    released: u32,
    /// What the message in progress has taken and not released.
    in_progress: u32,
    /// How many complete messages wait for the application.
    waiting: u32,
}

impl ReceiveWindow {
    pub(crate) const fn new(size: u32) -> Self {
        Self { threshold: size / 2, open: size, released: 0, in_progress: 0, waiting: 0 }
    }

    /// A fragment has come that does not complete its message.
    pub(crate) fn fragment(&mut self, charge: u32) -> Result<(), DecodeError> {
        self.take(charge)?;
        self.release_progress();
        Ok(())
    }

    /// A fragment has come that completes its message: what is still to be released for it.
    pub(crate) fn complete(&mut self, charge: u32) -> Result<Charge, DecodeError> {
        self.take(charge)?;
        self.waiting += 1;
        Ok(Charge { messages: 1, bytes: std::mem::take(&mut self.in_progress) })
    }

    /// The application has taken messages.
    pub(crate) fn consumed(&mut self, charge: Charge) {
        self.waiting = self.waiting.saturating_sub(charge.messages);
        self.released = self.released.saturating_add(charge.bytes);
        self.release_progress();
    }

    /// The credit to announce now, if enough has gathered.
    pub(crate) fn due(&mut self) -> Option<u32> {
        if self.released < self.threshold {
            return None;
        }
        let due = std::mem::take(&mut self.released);
        self.open = self.open.saturating_add(due);
        Some(due)
    }

    fn take(&mut self, charge: u32) -> Result<(), DecodeError> {
        let available = self.open;
        self.open =
            available.checked_sub(charge).ok_or(DecodeError::Overrun { charge, available })?;
        self.in_progress += charge;
        Ok(())
    }

    fn release_progress(&mut self) {
        if self.waiting == 0 {
            self.released = self.released.saturating_add(std::mem::take(&mut self.in_progress));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::header::Flags;
    use crate::limits::{CHARGE_MAX, FRAGMENT_MAX, HANDLES_PER_FRAME};
    use crate::payload::Encoding;

    #[test]
    fn charges_cover_all_that_a_fragment_costs() {
        let last = Flags { more: false, encoding: Encoding::Json, group: false };
        let more = Flags { more: true, ..last };
        assert_eq!(charge(&Header::user(more, 0, 0)), 8);
        assert_eq!(charge(&Header::user(last, 0, 0)), 72);
        assert_eq!(charge(&Header::user(more, 2, 100)), 8 + 100 + 2048);
        let costliest = Header::user(last, HANDLES_PER_FRAME, FRAGMENT_MAX);
        assert_eq!(charge(&costliest) as usize, CHARGE_MAX);
    }

    #[test]
    fn credit_is_announced_by_the_half_window() {
        let mut window = ReceiveWindow::new(100);
        let first = window.complete(49).unwrap();
        let second = window.complete(1).unwrap();
        window.consumed(first);
        assert_eq!(window.due(), None);
        window.consumed(second);
        assert_eq!(window.due(), Some(50));
        assert_eq!(window.due(), None);
    }

    #[test]
    fn the_window_is_exact() {
        let mut window = ReceiveWindow::new(100);
        let charge = window.complete(100).unwrap();
        let overrun = DecodeError::Overrun { charge: 1, available: 0 };
        assert_eq!(window.fragment(1), Err(overrun));
        window.consumed(charge);
        // Released is not granted: the other side does not know yet.
        assert!(window.fragment(1).is_err());
        assert_eq!(window.due(), Some(100));
        assert_eq!(window.fragment(100), Ok(()));
    }

    #[test]
    fn a_message_in_progress_is_released_unless_one_waits() {
        let mut window = ReceiveWindow::new(100);
        window.fragment(60).unwrap();
        assert_eq!(window.due(), Some(60));
        let first = window.complete(10).unwrap();
        assert_eq!(first, Charge { messages: 1, bytes: 10 });
        window.fragment(60).unwrap();
        assert_eq!(window.due(), None);
        window.consumed(first);
        assert_eq!(window.due(), Some(70));
        assert_eq!(window.complete(5).unwrap(), Charge { messages: 1, bytes: 5 });
    }

    #[test]
    fn charges_add_up() {
        let mut window = ReceiveWindow::new(100);
        let mut sum = Charge::default();
        sum += window.complete(20).unwrap();
        sum += window.complete(30).unwrap();
        assert_eq!(sum, Charge { messages: 2, bytes: 50 });
        let twice = Charge { messages: 2, bytes: 50 }.into_number() * 2;
        assert_eq!(Charge::from_number(twice), Charge { messages: 4, bytes: 100 });
        window.consumed(sum);
        assert_eq!((window.waiting, window.due()), (0, Some(50)));
    }

    #[test]
    fn a_grant_saturates() {
        let mut window = SendWindow::new(100);
        window.grant(u32::MAX);
        assert!(window.admits(u32::MAX));
    }

    /// A sender and a receiver, all that is on its way between them, and an application.
    struct World {
        size: u32,
        send: SendWindow,
        receive: ReceiveWindow,
        /// What is still to be sent: charges of the fragments of each message.
        outbox: VecDeque<VecDeque<u32>>,
        /// Fragments on their way: charge, and whether it is the last one.
        forth: VecDeque<(u32, bool)>,
        /// Credit on its way back.
        back: VecDeque<u32>,
        /// Complete messages: charge, and the bytes it keeps in memory.
        inbox: VecDeque<(Charge, u64)>,
        in_progress: u64,
        consumed: usize,
    }

    impl World {
        fn send(&mut self) -> bool {
            let Some(message) = self.outbox.front_mut() else { return false };
            let charge = message[0];
            if !self.send.admits(charge) {
                return false;
            }
            self.send.take(charge);
            message.pop_front();
            let last = message.is_empty();
            if last {
                self.outbox.pop_front();
            }
            self.forth.push_back((charge, last));
            true
        }

        fn deliver(&mut self) -> bool {
            let Some((charge, last)) = self.forth.pop_front() else { return false };
            self.in_progress += u64::from(charge);
            if last {
                let charge = self.receive.complete(charge).expect("no overrun");
                self.inbox.push_back((charge, std::mem::take(&mut self.in_progress)));
            } else {
                self.receive.fragment(charge).expect("no overrun");
            }
            self.announce();
            true
        }

        fn credit(&mut self) -> bool {
            let credit = self.back.pop_front();
            credit.map(|bytes| self.send.grant(bytes)).is_some()
        }

        fn consume(&mut self) -> bool {
            let Some((charge, _)) = self.inbox.pop_front() else { return false };
            self.receive.consumed(charge);
            self.consumed += 1;
            self.announce();
            true
        }

        fn announce(&mut self) {
            self.back.extend(self.receive.due());
        }

        fn check(&self, largest: u64) {
            let under_way: u32 = self.forth.iter().map(|(charge, _)| charge).sum();
            let granted: u32 = self.back.iter().sum();
            assert_eq!(self.send.available + under_way + granted, self.receive.open);
            let given: u32 = self.inbox.iter().map(|(charge, _)| charge.bytes).sum();
            let ReceiveWindow { open, released, in_progress, .. } = self.receive;
            assert_eq!(open + released + in_progress + given, self.size);
            let memory: u64 = self.inbox.iter().map(|(_, bytes)| bytes).sum();
            assert!(memory + self.in_progress <= u64::from(self.size) + largest);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Random messages of up to some five windows, random order of all that can happen.
        #[test]
        fn nothing_stalls_and_nothing_overruns(
            size in 2_u32..4000,
            sizes in prop::collection::vec(0_u32..20_000, 1..12),
            schedule in prop::collection::vec(0_u8..4, 0..400),
        ) {
            let largest = size / 2;
            let outbox: VecDeque<VecDeque<u32>> = sizes
                .iter()
                .map(|bytes| {
                    let full = std::iter::repeat_n(largest, (bytes / largest).min(50) as usize);
                    full.chain([(bytes % largest).max(1)]).collect()
                })
                .collect();
            let heaviest = outbox.iter().map(|message| message.iter().sum::<u32>()).max();
            let heaviest = u64::from(heaviest.unwrap_or(0));
            let total = outbox.len();
            let mut world = World {
                size,
                send: SendWindow::new(size),
                receive: ReceiveWindow::new(size),
                outbox,
                forth: VecDeque::new(),
                back: VecDeque::new(),
                inbox: VecDeque::new(),
                in_progress: 0,
                consumed: 0,
            };
            for step in schedule {
                match step {
                    0 => world.send(),
                    1 => world.deliver(),
                    2 => world.credit(),
                    _ => world.consume(),
                };
                world.check(heaviest);
            }
            // The application consumes only when nothing else moves: the hardest for progress.
            while world.send() || world.deliver() || world.credit() || world.consume() {
                world.check(heaviest);
            }
            prop_assert_eq!(world.consumed, total, "stalled");
        }
    }
}
