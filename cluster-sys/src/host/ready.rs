//! What has something to do: the private poll, and what a bounded turn left undone.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use cluster_ipc::ControlMessage;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::link::{Flushed, Link};

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
    /// Those whose other end has hung up, as far as was looked.
    ended: HashSet<S>,
    /// Those of which it is wanted when they are writable.
    crowded: HashSet<S>,
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
            ended: HashSet::new(),
            crowded: HashSet::new(),
            waker,
        })
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// From now on `source` is ready when `fd` is readable.
    pub(crate) fn watch(&self, source: S, fd: BorrowedFd<'_>) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd.as_raw_fd()), source.token(), Interest::READABLE)
    }

    /// From now on `source` is ready each time when the other end of `fd` has received something.
    pub(crate) fn watch_room(&self, source: S, fd: BorrowedFd<'_>) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd.as_raw_fd()), source.token(), Interest::WRITABLE)
    }

    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        // A descriptor that is not watched needs no more.
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd())).unwrap_or_default();
    }

    pub(crate) fn ignore(&mut self, source: S, fd: BorrowedFd<'_>) {
        self.unwatch(fd);
        self.ended.remove(&source);
        self.crowded.remove(&source);
        self.forget(source);
    }

    /// Writes what a link has to write. What finds no room makes `source` ready when there is
    /// some; without need, nobody is woken whenever the other side has read.
    pub(crate) fn flush<In: ControlMessage>(&mut self, source: S, link: &mut Link<In>) -> Flushed {
        let flushed = link.flush();
        let crowded = flushed == Flushed::Full;
        if crowded == self.crowded.contains(&source) {
            return flushed;
        }
        let (interest, fd) = match crowded {
            true => (Interest::READABLE | Interest::WRITABLE, link.as_fd()),
            false => (Interest::READABLE, link.as_fd()),
        };
        let registry = self.poll.registry();
        match registry.reregister(&mut SourceFd(&fd.as_raw_fd()), source.token(), interest) {
            Ok(()) if crowded => drop(self.crowded.insert(source)),
            Ok(()) => drop(self.crowded.remove(&source)),
            // To be told of room that is not needed costs little.
            Err(_) if !crowded => {}
            Err(_) => return Flushed::Refused,
        }
        flushed
    }

    /// Notes that `source` has something to do.
    pub(crate) fn push(&mut self, source: S) {
        if self.queued.insert(source) {
            self.queue.push_back(source);
        }
    }

    /// Looks at what has become ready, without waiting, and tells how many sources are.
    pub(crate) fn look(&mut self) -> usize {
        let Self { poll, events, queue, queued, ended, .. } = self;
        // The only failure without a timeout is an interruption by a signal; the next turn
        // looks again, for the descriptor stays readable.
        while poll.poll(events, Some(Duration::ZERO)).is_ok() {
            let mut count = 0;
            for event in events.iter() {
                count += 1;
                let source = S::of(event.token());
                if is_end(event) {
                    ended.insert(source);
                }
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

    /// Whether the other end of `source` had hung up when it was looked at last. If it does so
    /// later, `source` becomes ready again.
    pub(crate) fn has_ended(&self, source: S) -> bool {
        self.ended.contains(&source)
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

/// Whether there is nothing behind what there is to read.
fn is_end(event: &Event) -> bool {
    event.is_read_closed() || event.is_error()
}

const EVENTS_PER_POLL: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use cluster_core::{ToPrimary, ToWorker};
    use cluster_ipc::Hello;

    use super::*;
    use crate::channel::Channel;

    impl Source for usize {
        fn token(self) -> Token {
            Token(self)
        }

        fn of(Token(token): Token) -> Self {
            token
        }
    }

    /// Who has room anyway has nothing to do when the other side has read.
    #[test]
    fn reading_wakes_only_whom_it_gives_room() {
        let mut ready = Ready::new(0).unwrap();
        let (ours, theirs) = Channel::pair().unwrap();
        let mut theirs = UnixStream::from(theirs);
        theirs.set_nonblocking(true).unwrap();
        let mut read = || while theirs.read(&mut [0; 4096]).is_ok() {};
        let hello = Hello::new("").unwrap();
        let mut link = Link::<ToPrimary>::new(ours, &hello, ready.waker().clone());
        ready.watch(1, link.as_fd()).unwrap();
        assert_eq!(ready.flush(1, &mut link), Flushed::All);
        read();
        assert_eq!(ready.look(), 0);
        while ready.flush(1, &mut link) == Flushed::All {
            link.send_control(&ToWorker::Disconnect, None).unwrap();
        }
        assert_eq!(ready.look(), 0);
        read();
        assert_eq!((ready.look(), ready.pop()), (1, Some(1)));
        assert_eq!(ready.flush(1, &mut link), Flushed::All);
        read();
        assert_eq!(ready.look(), 0);
    }

    /// Whoever polls edge-triggered is not told a second time of what was not fetched.
    #[test]
    fn more_than_one_poll_gives_are_all_seen_in_one_look() {
        let mut ready = Ready::new(0).unwrap();
        let pairs: Vec<_> = (0..=EVENTS_PER_POLL).map(|_| UnixStream::pair().unwrap()).collect();
        for (number, (ours, theirs)) in (1..).zip(&pairs) {
            ready.watch(number, ours.as_fd()).unwrap();
            theirs.shutdown(Shutdown::Both).unwrap();
        }
        assert_eq!(ready.look(), pairs.len());
        while ready.pop().is_some() {}
        assert_eq!(ready.look(), 0);
    }
}
