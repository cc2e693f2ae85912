//! How much one side may have queued for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::limits::OUTBOX_BYTES;

/// Counts the bytes of user messages that wait to be written to one channel.
///
/// Senders reserve room before they queue a message and the host gives it back when the message
/// is written, and so the queue is bounded without a lock. Waiting for room is the adapters'
/// business: a refused reservation marks the outbox, and the host tells when there is room.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: AtomicUsize,
    wanted: AtomicBool,
    closed: AtomicBool,
}

impl Outbox {
    /// Reserves room for a message of `len` bytes. A message larger than all the room there is
    /// may go when less than [`OUTBOX_BYTES`] are queued, so that it can go at all.
    ///
    /// # Errors
    ///
    /// [`NoRoom::Full`] if too much is queued, [`NoRoom::Closed`] if the channel is closed.
    pub fn reserve(self: &Arc<Self>, len: usize) -> Result<Permit, NoRoom> {
        if self.is_closed() {
            return Err(NoRoom::Closed);
        }
        let bytes = len.saturating_add(MESSAGE_COST);
        let add = |queued| (queued < OUTBOX_BYTES).then_some(queued + bytes);
        if self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok() {
            return Ok(Permit { outbox: Arc::clone(self), bytes });
        }
        self.wanted.store(true, Ordering::SeqCst);
        // Room may have come between the refusal and the mark, unseen by the host.
        match self.bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add) {
            Ok(_) => Ok(Permit { outbox: Arc::clone(self), bytes }),
            Err(_) => Err(NoRoom::Full),
        }
    }

    /// How many bytes are queued.
    pub fn queued(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether the channel is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// No message can be sent any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether somebody was refused and there is room now; forgets it.
    pub(crate) fn take_wanted(&self) -> bool {
        // In one order with the mark and the second look of `reserve`, or a wish could be missed.
        (self.is_closed() || self.bytes.load(Ordering::SeqCst) < OUTBOX_BYTES)
            && self.wanted.swap(false, Ordering::SeqCst)
    }
}

/// Room for one message; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    outbox: Arc<Outbox>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.outbox.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// Why a message cannot be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// Too much is queued.
    Full,
    /// The channel is closed.
    Closed,
}

/// What the queue spends on a message beside its bytes, so that empty ones are bounded, too.
const MESSAGE_COST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_at_the_limit_and_free_when_written() {
        let outbox = Arc::new(Outbox::default());
        let first = outbox.reserve(OUTBOX_BYTES - MESSAGE_COST - 1).expect("empty");
        let last = outbox.reserve(10 * OUTBOX_BYTES).expect("one byte is free");
        assert_eq!(outbox.reserve(0).map(drop), Err(NoRoom::Full));
        assert!(!outbox.take_wanted(), "wanted, but there is no room yet");
        drop(last);
        assert!(outbox.take_wanted());
        assert!(!outbox.take_wanted(), "told once");
        drop(first);
        assert_eq!(outbox.queued(), 0);
        outbox.close();
        assert_eq!(outbox.reserve(0).map(drop), Err(NoRoom::Closed));
    }
}
