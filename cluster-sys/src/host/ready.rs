//! What has something to do: the private poll, and what a bounded turn left undone.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

/// A name for something that is polled.
pub(crate) trait Source: Copy + Eq + Hash {
    fn token(self) -> Token;
    fn of(token: Token) -> Self;
}

/// The sources that are ready, each once, in the order in which they became so.
///
/// mio's readiness is edge-triggered: whoever does not finish a source puts it back.
#[derive(Debug)]
pub(crate) struct Ready<S> {
    poll: Poll,
    events: Events,
    queue: VecDeque<S>,
    queued: HashSet<S>,
    waker: Arc<Waker>,
}

impl<S: Source> Ready<S> {
    /// `wake` is the source that is ready when the waker was used.
    pub(crate) fn new(wake: S) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), wake.token())?);
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            waker,
        })
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    pub(crate) fn watch(
        &self,
        source: S,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd.as_raw_fd()), source.token(), interest)
    }

    pub(crate) fn ignore(&mut self, source: S, fd: BorrowedFd<'_>) {
        // A descriptor that is not watched needs no more.
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd())).unwrap_or_default();
        self.forget(source);
    }

    /// Notes that `source` has something to do.
    pub(crate) fn push(&mut self, source: S) {
        if self.queued.insert(source) {
            self.queue.push_back(source);
        }
    }

    /// Looks at what has become ready, without waiting, and tells how many sources are.
    pub(crate) fn look(&mut self) -> usize {
        let Self { poll, events, queue, queued, .. } = self;
        // The only failure without a timeout is an interruption by a signal; the next turn
        // looks again, for the descriptor stays readable.
        while poll.poll(events, Some(Duration::ZERO)).is_ok() {
            let mut count = 0;
            for event in events.iter() {
                count += 1;
                let source = S::of(event.token());
                if queued.insert(source) {
                    queue.push_back(source);
                }
            }
            // A full house may have left some outside, and whoever polls edge-triggered is not
            // told of them again.
            if count < EVENTS_PER_POLL {
                break;
            }
        }
        self.queue.len()
    }

    pub(crate) fn pop(&mut self) -> Option<S> {
        let source = self.queue.pop_front()?;
        self.queued.remove(&source);
        Some(source)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn forget(&mut self, source: S) {
        if self.queued.remove(&source) {
            self.queue.retain(|it| *it != source);
        }
    }
}

impl<S> AsFd for Ready<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the poll, which this borrow keeps alive.
        unsafe { BorrowedFd::borrow_raw(self.poll.as_raw_fd()) }
    }
}

const EVENTS_PER_POLL: usize = 256;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    impl Source for usize {
        fn token(self) -> Token {
            Token(self)
        }

        fn of(Token(token): Token) -> Self {
            token
        }
    }

    /// Whoever polls edge-triggered is not told a second time of what was not fetched.
    #[test]
    fn more_than_one_poll_gives_are_all_seen_in_one_look() {
        let mut ready = Ready::new(0).unwrap();
        let pairs: Vec<_> = (0..=EVENTS_PER_POLL).map(|_| UnixStream::pair().unwrap()).collect();
        for (number, (ours, _)) in (1..).zip(&pairs) {
            ready.watch(number, ours.as_fd(), Interest::WRITABLE).unwrap();
        }
        assert_eq!(ready.look(), pairs.len());
        while ready.pop().is_some() {}
        assert_eq!(ready.look(), 0);
    }
}
