//! The board: events go from a host to all who want to hear them.
//!
//! ```
//! use std::cell::RefCell;
//! use std::rc::Rc;
//!
//! use cluster_sys::board::{Board, Interest, Posted, Stream, Subscriber};
//! use cluster_sys::{Event, Pid, WorkerId};
//!
//! struct Lines(Rc<RefCell<Vec<String>>>);
//!
//! impl Stream for Lines {
//!     fn give(&self, posted: Posted) {
//!         self.0.borrow_mut().push(posted.into_event().to_string());
//!     }
//!
//!     fn is_closed(&self) -> bool {
//!         Rc::strong_count(&self.0) == 1
//!     }
//! }
//!
//! let mut board = Board::new();
//! let lines = Rc::default();
//! board.subscribe(Subscriber::new(Interest::All, Lines(Rc::clone(&lines))));
//! board.publish(Event::Fork { worker: WorkerId::new(1).unwrap(), pid: Pid(100) }, None);
//! assert_eq!(*lines.borrow(), ["fork 1 100"]);
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;
use crate::facts::WorkerFacts;
use crate::limits::BACKLOG_MAX;
use crate::message::Receipt;

/// Hands events to streams, and keeps them until there is a first one.
#[derive(Debug)]
pub struct Board<S> {
    subscribers: Vec<Subscriber<S>>,
    /// What no stream about all workers has had yet; `None` once there was one.
    backlog: Option<VecDeque<Posted>>,
}

/// Where events go.
pub trait Stream {
    /// Takes an event, for a reader that may just have gone.
    fn give(&self, posted: Posted);

    /// Whether there is no reader any more.
    fn is_closed(&self) -> bool;
}

/// A stream, and what it is about.
#[derive(Debug)]
pub struct Subscriber<S> {
    interest: Interest,
    stream: S,
    /// How many of the two ends of the worker that it is about, its channel's and its
    /// process's, are still to be told.
    ends: u8,
}

/// Which events a stream is about.
#[derive(Clone, Debug)]
pub enum Interest {
    /// All.
    All,
    /// Those about one worker; the stream ends behind the last of them.
    In(Arc<WorkerFacts>),
}

/// An event on its way to a reader. What it holds up goes on when the last reader has it.
#[derive(Debug)]
pub struct Posted {
    event: Event,
    receipt: Option<Held>,
}

impl<S: Stream> Board<S> {
    /// A board that nobody reads.
    pub fn new() -> Self {
        Self { subscribers: Vec::new(), backlog: Some(VecDeque::new()) }
    }

    /// Adds a stream. All that has happened is to be published before. The first stream about all
    /// workers gets what was kept; one about a worker gets what was kept about that.
    pub fn subscribe(&mut self, mut subscriber: Subscriber<S>) {
        match &subscriber.interest {
            Interest::All => {
                let backlog = self.backlog.take().into_iter().flatten();
                backlog.for_each(|posted| subscriber.stream.give(posted));
            }
            Interest::In(facts) => {
                let backlog = self.backlog.iter_mut();
                for posted in backlog.flat_map(|backlog| backlog.extract(&subscriber)) {
                    subscriber.stream.give(posted);
                }
                subscriber.ends = u8::from(facts.is_connected()) + u8::from(!facts.is_dead());
            }
        }
        if !subscriber.is_over() {
            self.subscribers.push(subscriber);
        }
    }

    /// Something has happened. The receipt is that of a message.
    pub fn publish(&mut self, event: Event, receipt: Option<Receipt>) {
        self.subscribers.retain(|it| !it.stream.is_closed());
        let is_message = matches!(event, Event::Message { .. });
        let is_end = matches!(event, Event::Disconnect { .. } | Event::Exit { .. });
        let mut readers = self.subscribers.iter().filter(|it| it.wants(&event)).count();
        let backlog = self.backlog.as_mut().filter(|_| !is_message || readers == 0);
        let mut posted = Posted { event, receipt: receipt.map(Held::Alone) };
        if let Some(backlog) = backlog {
            backlog.push_back(posted.copy());
            backlog.trim();
        }
        for subscriber in &mut self.subscribers {
            if !subscriber.wants(&posted.event) {
                continue;
            }
            subscriber.ends -= u8::from(is_end && subscriber.is_about_one());
            readers -= 1;
            if readers == 0 {
                subscriber.stream.give(posted);
                break;
            }
            subscriber.stream.give(posted.copy());
        }
        // The streams about a worker of which nothing more will be heard end.
        self.subscribers.retain(|it| !it.is_over());
    }
}

impl<S: Stream> Default for Board<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Subscriber<S> {
    /// A stream that is about `interest`.
    pub const fn new(interest: Interest, stream: S) -> Self {
        Self { interest, stream, ends: 2 }
    }

    fn wants(&self, event: &Event) -> bool {
        match &self.interest {
            Interest::All => true,
            Interest::In(facts) => event.worker() == Some(facts.id()),
        }
    }

    fn is_about_one(&self) -> bool {
        matches!(self.interest, Interest::In(_))
    }

    /// Whether there is nothing more to give. The worker's facts do not tell: they are ahead of
    /// what is published when both ends come in one turn.
    fn is_over(&self) -> bool {
        self.ends == 0
    }
}

impl Posted {
    /// The reader has it.
    pub fn into_event(self) -> Event {
        self.event
    }

    /// The same for one more reader.
    fn copy(&mut self) -> Self {
        let shared = self.receipt.take().map(Held::into_shared);
        self.receipt = shared.clone().map(Held::Shared);
        Self { event: self.event.clone(), receipt: shared.map(Held::Shared) }
    }
}

/// A receipt in one hand or in several. Most messages have one reader, and need no more.
#[derive(Debug)]
enum Held {
    Alone(Receipt),
    Shared(Arc<Receipt>),
}

impl Held {
    fn into_shared(self) -> Arc<Receipt> {
        match self {
            Self::Alone(receipt) => Arc::new(receipt),
            Self::Shared(receipt) => receipt,
        }
    }
}

/// What a backlog can do.
trait Backlog {
    /// What concerns a stream about one worker. Messages leave the backlog: they have a reader.
    fn extract<S>(&mut self, subscriber: &Subscriber<S>) -> Vec<Posted>;

    /// Forgets the oldest events beyond the limit. Messages are bounded by their credit.
    fn trim(&mut self);
}

impl Backlog for VecDeque<Posted> {
    fn extract<S>(&mut self, subscriber: &Subscriber<S>) -> Vec<Posted> {
        let wanted = self.iter_mut().filter(|it| subscriber.wants(&it.event));
        let wanted = wanted.map(Posted::copy).collect();
        self.retain(|Posted { event, .. }| {
            !(matches!(event, Event::Message { .. }) && subscriber.wants(event))
        });
        wanted
    }

    fn trim(&mut self) {
        if self.len() > BACKLOG_MAX
            && let Some(oldest) =
                self.iter().position(|it| !matches!(it.event, Event::Message { .. }))
        {
            self.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use cluster_core::{Pid, WorkerId};
    use cluster_ipc::{Charge, Encoding, Payload};

    use super::*;
    use crate::message::{Consumption, Message};

    /// A reader's end.
    type Queue = Rc<RefCell<VecDeque<Posted>>>;

    impl Stream for Queue {
        fn give(&self, posted: Posted) {
            self.borrow_mut().push_back(posted);
        }

        fn is_closed(&self) -> bool {
            Self::strong_count(self) == 1
        }
    }

    fn worker(number: u32) -> WorkerId {
        WorkerId::new(number).expect("not 0")
    }

    fn fork(number: u32) -> Event {
        Event::Fork { worker: worker(number), pid: Pid(1000 + number) }
    }

    fn subscribe(board: &mut Board<Queue>, interest: Interest) -> Queue {
        let queue = Queue::default();
        board.subscribe(Subscriber::new(interest, Rc::clone(&queue)));
        queue
    }

    fn lines(queue: &Queue) -> Vec<String> {
        queue.borrow_mut().drain(..).map(|posted| posted.into_event().to_string()).collect()
    }

    #[test]
    fn the_first_stream_gets_what_there_was_and_the_second_does_not() {
        let mut board = Board::new();
        board.publish(fork(1), None);
        let first = subscribe(&mut board, Interest::All);
        let second = subscribe(&mut board, Interest::All);
        board.publish(fork(2), None);
        assert_eq!(lines(&first), ["fork 1 1001", "fork 2 1002"]);
        assert_eq!(lines(&second), ["fork 2 1002"]);
    }

    #[test]
    fn a_stream_that_was_dropped_holds_nothing() {
        let mut board = Board::new();
        drop(subscribe(&mut board, Interest::All));
        board.publish(fork(1), None);
        assert!(board.subscribers.is_empty());
        assert_eq!(lines(&subscribe(&mut board, Interest::All)), [""; 0], "and nothing else");
    }

    #[test]
    fn the_backlog_forgets_the_oldest_beyond_its_limit() {
        let mut board = Board::new();
        let limit = u32::try_from(BACKLOG_MAX).expect("small");
        (1..=limit + 1).for_each(|number| board.publish(fork(number), None));
        let kept = lines(&subscribe(&mut board, Interest::All));
        assert_eq!(kept.len(), BACKLOG_MAX);
        assert_eq!(kept[0], "fork 2 1002");
    }

    /// However many readers a message has, and wherever it was kept.
    #[test]
    fn a_message_counts_as_taken_when_the_last_reader_has_it() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let consumption = Consumption::new(waker);
        let facts = WorkerFacts::new(worker(1));
        facts.forked(Pid(1001));
        let facts = Arc::new(facts);
        for (early, late) in [(0, 1), (1, 0), (2, 0), (3, 0)] {
            let mut board = Board::new();
            let about_it = || Interest::In(Arc::clone(&facts));
            let mut readers: Vec<_> =
                (0..early).map(|_| subscribe(&mut board, about_it())).collect();
            let payload = Payload::encode(Encoding::Json, "good morning").unwrap();
            let message = Message::new(payload, Vec::new(), 0);
            let event = Event::Message { worker: worker(1), message };
            board.publish(event, Some(consumption.receipt(Charge::from_number(7))));
            readers.extend((0..late).map(|_| subscribe(&mut board, about_it())));
            let mut had = 0;
            for reader in readers {
                assert_eq!(consumption.take(), None);
                had += lines(&reader).len();
            }
            assert_eq!(consumption.take().map(Charge::into_number), Some(7));
            assert_eq!(had, early.max(1), "those who are there, or the first that comes");
        }
    }
}
