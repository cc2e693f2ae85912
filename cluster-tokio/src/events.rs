//! Streams of events.

use cluster_sys::Event;
use cluster_sys::board::{self, Interest, Posted};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::order::Order;

/// A stream of events. Each stream gets each event that it is about.
///
/// A message counts as taken when every stream that it went to has given it out; until then it
/// holds up the worker's further messages. A stream that is no longer read should be dropped.
#[derive(Debug)]
pub struct Events {
    queue: UnboundedReceiver<Posted>,
}

impl Events {
    pub(crate) fn subscribe(orders: &UnboundedSender<Order>, interest: Interest) -> Self {
        let (sender, queue) = unbounded_channel();
        let subscriber = board::Subscriber::new(interest, Stream(sender));
        // A cluster that has ended has no more events: the stream ends at once.
        drop(orders.send(Order::Subscribe(subscriber)));
        Self { queue }
    }

    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await.map(Posted::into_event)
    }
}

/// A stream's other end.
#[derive(Debug)]
pub(crate) struct Stream(UnboundedSender<Posted>);

impl board::Stream for Stream {
    fn give(&self, posted: Posted) {
        // Its reader may just have gone.
        drop(self.0.send(posted));
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
