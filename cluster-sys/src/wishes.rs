//! How many connections a listener's application waits for.

use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

/// Counts those who accept at one listener and have not been served.
///
/// Whoever accepts makes a [`Wish`]; the host serves it as soon as there is a connection, without
/// having to be asked. It has to be asked only if it [holds](Self::is_timely) connections for which
/// there were no wishes.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Below 0, so many connections are taken for which nobody waits any more.
    unserved: AtomicIsize,
    /// The host holds connections that nobody has wished for.
    held: AtomicBool,
}

/// A wish for one connection; dropped, it is withdrawn.
#[derive(Debug)]
pub struct Wish<'a> {
    wishes: &'a Wishes,
}

impl Wishes {
    /// Wishes for a connection.
    pub fn wish(&self) -> Wish<'_> {
        self.unserved.fetch_add(1, Ordering::SeqCst);
        Wish { wishes: self }
    }

    /// Whether the host is to be asked to serve the wishes there are: it could do so at once.
    pub fn is_timely(&self) -> bool {
        // In one order with the mark and the second look of `is_done`, or nobody would act.
        self.held.load(Ordering::SeqCst) && self.is_unserved()
    }

    /// Whether a connection is wished for and not taken yet.
    pub(crate) fn is_unserved(&self) -> bool {
        self.unserved.load(Ordering::SeqCst) > 0
    }

    /// A connection is taken for a wish.
    pub(crate) fn serve(&self) {
        self.unserved.fetch_sub(1, Ordering::SeqCst);
    }

    /// Notes whether the host still holds connections; says whether there is nothing to be done
    /// about them, not even for a wish that came in before it could know that.
    pub(crate) fn is_done(&self, held: bool) -> bool {
        self.held.store(held, Ordering::SeqCst);
        !(held && self.is_unserved())
    }
}

impl Wish<'_> {
    /// The connection is there.
    pub fn fulfilled(self) {
        std::mem::forget(self);
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        // If it is served by now, the connection is there for the next one.
        self.wishes.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_timely_when_something_is_held() {
        let wishes = Wishes::default();
        assert!(wishes.is_done(true), "nobody waits");
        let wish = wishes.wish();
        assert!(wishes.is_timely());
        assert!(!wishes.is_done(true), "it came in before the mark");
        wishes.serve();
        assert!(wishes.is_done(false));
        wish.fulfilled();
        let later = wishes.wish();
        assert!(!wishes.is_timely(), "the host will serve it of its own accord");
        assert!(wishes.is_unserved());
        drop(later);
        assert!(!wishes.is_unserved(), "withdrawn");
    }

    #[test]
    fn what_was_taken_for_a_wish_withdrawn_is_for_the_next() {
        let wishes = Wishes::default();
        let first = wishes.wish();
        wishes.serve();
        drop(first);
        let second = wishes.wish();
        assert!(!wishes.is_unserved(), "one is taken already");
        second.fulfilled();
        let _third = wishes.wish();
        assert!(wishes.is_unserved());
    }
}
