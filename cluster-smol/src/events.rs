//! Streams of events, and the board that fills them.

use std::collections::VecDeque;
use std::sync::Arc;

use cluster_sys::{Event, Receipt, WorkerFacts};
use smol::channel::Sender;

use crate::order::Order;
use crate::queue::Queue;

/// A stream of events. Each stream gets each event that it is about.
///
/// A message counts as taken when every stream that it went to has given it out; until then it
/// holds up the worker's further messages. A stream that is no longer read should be dropped.
#[derive(Debug)]
pub struct Events {
    queue: Queue<Entry>,
}

impl Events {
    pub(crate) fn subscribe(orders: &Sender<Order>, interest: Interest) -> Self {
        let (sender, queue) = Queue::new();
        // A cluster that has ended has no more events: the stream ends at once.
        drop(orders.try_send(Order::Subscribe(Subscriber { interest, queue: sender, ends: 2 })));
        Self { queue }
    }

    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.next().await.map(|Entry { event, .. }| event)
    }
}

/// Which events a stream is about.
#[derive(Clone, Debug)]
pub(crate) enum Interest {
    All,
    In(Arc<WorkerFacts>),
}

/// A stream's other end.
#[derive(Debug)]
pub(crate) struct Subscriber {
    interest: Interest,
    queue: Sender<Entry>,
    /// How many of the two ends of the worker that it is about, its channel's and its
    /// process's, are still to be told.
    ends: u8,
}

/// An event on its way to the application. The receipt goes when the last reader has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    event: Event,
    _receipt: Option<Arc<Receipt>>,
}

/// Hands events to the streams, and keeps them until there is a first one.
#[derive(Debug)]
pub(crate) struct Board {
    subscribers: Vec<Subscriber>,
    /// What no stream about all workers has had yet; `None` once there was one.
    backlog: Option<VecDeque<Entry>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { subscribers: Vec::new(), backlog: Some(VecDeque::new()) }
    }

    /// Adds a stream. All that has happened is published.
    pub(crate) fn subscribe(&mut self, mut subscriber: Subscriber) {
        match &subscriber.interest {
            Interest::All => {
                for entry in self.backlog.take().into_iter().flatten() {
                    subscriber.give(&entry);
                }
            }
            Interest::In(facts) => {
                let backlog = self.backlog.iter_mut();
                for entry in backlog.flat_map(|backlog| backlog.extract(&subscriber)) {
                    subscriber.give(&entry);
                }
                subscriber.ends = u8::from(facts.is_connected()) + u8::from(!facts.is_dead());
            }
        }
        if !subscriber.is_over() {
            self.subscribers.push(subscriber);
        }
    }

    pub(crate) fn publish(&mut self, event: Event, receipt: Option<Receipt>) {
        let entry = Entry { event, _receipt: receipt.map(Arc::new) };
        self.subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        let mut had = false;
        let is_end = matches!(entry.event, Event::Disconnect { .. } | Event::Exit { .. });
        for subscriber in self.subscribers.iter_mut().filter(|it| it.wants(&entry.event)) {
            subscriber.give(&entry);
            subscriber.ends -= u8::from(is_end && subscriber.is_about_one());
            had = true;
        }
        // The streams about a worker of which nothing more will be heard end.
        self.subscribers.retain(|subscriber| !subscriber.is_over());
        let is_message = matches!(entry.event, Event::Message { .. });
        if let Some(backlog) = &mut self.backlog
            && !(is_message && had)
        {
            backlog.push_back(entry);
            backlog.trim();
        }
    }
}

impl Subscriber {
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

    fn give(&self, entry: &Entry) {
        // Its reader may just have gone.
        drop(self.queue.try_send(entry.clone()));
    }
}

/// What a backlog can do.
trait Backlog {
    /// What concerns a stream about one worker. Messages leave the backlog: they have a reader.
    fn extract(&mut self, subscriber: &Subscriber) -> Vec<Entry>;

    /// Forgets the oldest events beyond the limit. Messages are bounded by their credit.
    fn trim(&mut self);
}

impl Backlog for VecDeque<Entry> {
    fn extract(&mut self, subscriber: &Subscriber) -> Vec<Entry> {
        let wanted = self.iter().filter(|entry| subscriber.wants(&entry.event)).cloned().collect();
        self.retain(|Entry { event, .. }| {
            !(matches!(event, Event::Message { .. }) && subscriber.wants(event))
        });
        wanted
    }

    fn trim(&mut self) {
        if self.len() > BACKLOG_MAX
            && let Some(oldest) =
                self.iter().position(|entry| !matches!(entry.event, Event::Message { .. }))
        {
            self.remove(oldest);
        }
    }
}

/// How many events are kept for a program that has not yet asked for any.
const BACKLOG_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use cluster_sys::Pid;

    use super::*;
    use crate::WorkerId;

    fn fork(worker: u32) -> Event {
        let worker = WorkerId::new(worker).expect("not 0");
        Event::Fork { worker, pid: Pid(1000 + worker.number()) }
    }

    fn subscribe(board: &mut Board) -> Events {
        let (sender, queue) = Queue::new();
        board.subscribe(Subscriber { interest: Interest::All, queue: sender, ends: 2 });
        Events { queue }
    }

    fn lines(events: &mut Events) -> Vec<String> {
        events.queue.rest().map(|entry| entry.event.to_string()).collect()
    }

    #[test]
    fn the_first_stream_gets_what_there_was_and_the_second_does_not() {
        let mut board = Board::new();
        board.publish(fork(1), None);
        let mut first = subscribe(&mut board);
        let mut second = subscribe(&mut board);
        board.publish(fork(2), None);
        assert_eq!(lines(&mut first), ["fork 1 1001", "fork 2 1002"]);
        assert_eq!(lines(&mut second), ["fork 2 1002"]);
    }

    #[test]
    fn a_stream_that_was_dropped_holds_nothing() {
        let mut board = Board::new();
        drop(subscribe(&mut board));
        board.publish(fork(1), None);
        assert!(board.subscribers.is_empty());
        assert_eq!(lines(&mut subscribe(&mut board)), [""; 0], "and nothing else");
    }

    #[test]
    fn the_backlog_forgets_the_oldest_beyond_its_limit() {
        let mut board = Board::new();
        let limit = u32::try_from(BACKLOG_MAX).expect("small");
        (1..=limit + 1).for_each(|worker| board.publish(fork(worker), None));
        let kept = lines(&mut subscribe(&mut board));
        assert_eq!(kept.len(), BACKLOG_MAX);
        assert_eq!(kept[0], "fork 2 1002");
    }
}
