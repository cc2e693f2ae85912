//! Streams of events.

use cluster_sys::Event;
use cluster_sys::board::{self, Interest, Posted};
use smol::channel::Sender;

use crate::order::Order;
use crate::queue::Queue;

/// A stream of events. Each stream gets each event that it is about.
///
/// A message counts as taken when every stream that it went to has given it out; until then it
/// holds up the worker's further messages. A stream that is no longer read should be dropped.
#[derive(Debug)]
pub struct Events {
    queue: Queue<Posted>,
}

impl Events {
    pub(crate) fn subscribe(orders: &Sender<Order>, interest: Interest) -> Self {
        let (sender, queue) = Queue::new();
        let subscriber = board::Subscriber::new(interest, Stream(sender));
        // A cluster that has ended has no more events: the stream ends at once.
        drop(orders.try_send(Order::Subscribe(subscriber)));
        Self { queue }
    }

    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.next().await.map(Posted::into_event)
    }
}

/// A stream's other end.
#[derive(Debug)]
pub(crate) struct Stream(Sender<Posted>);

impl board::Stream for Stream {
    fn give(&self, posted: Posted) {
        // Its reader may just have gone.
        drop(self.0.try_send(posted));
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
