//! Bringing connections and those who accept them together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cluster_sys::worker::{Command, Notice};
use cluster_sys::{Connection, ListenerId, Message, Receipt, Wishes, WorkerHost};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

/// Where this worker stands, as its application may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Here,
    Leaving,
    Gone,
}

/// A worker's desk: whoever accepts waits here, and so does what nobody has accepted yet.
///
/// A connection is taken from the primary only when somebody waits for it. If he goes away
/// meanwhile, it is there for the next; dropped, it goes back to the primary.
#[derive(Debug)]
pub(crate) struct Desk {
    counters: HashMap<ListenerId, Counter>,
    /// Until the channel ends: there will be no more messages.
    pub(crate) inbox: Option<UnboundedSender<(Message, Receipt)>>,
    pub(crate) stage: watch::Sender<Stage>,
    /// Nothing is to be accepted from sockets that this process has itself.
    pub(crate) cordoned: watch::Sender<bool>,
    pub(crate) room: Arc<Notify>,
}

/// One listener's part of the desk.
#[derive(Debug)]
pub(crate) struct Counter {
    wishes: Arc<Wishes>,
    /// Until the listener's end: there will be no more connections.
    queue: Option<UnboundedSender<Connection>>,
    /// Connections that are taken and on their way here.
    coming: usize,
}

impl Desk {
    pub(crate) fn new(
        inbox: UnboundedSender<(Message, Receipt)>,
        stage: watch::Sender<Stage>,
        cordoned: watch::Sender<bool>,
        room: Arc<Notify>,
    ) -> Self {
        Self { counters: HashMap::new(), inbox: Some(inbox), stage, cordoned, room }
    }

    /// The application has a new listener.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        host: &mut WorkerHost,
        listener: ListenerId,
        mut counter: Counter,
    ) {
        counter.serve(now, host, listener);
        self.counters.insert(listener, counter);
    }

    /// Somebody waits for a connection, and there is one.
    pub(crate) fn serve(&mut self, now: Instant, host: &mut WorkerHost, listener: ListenerId) {
        if let Some(counter) = self.counters.get_mut(&listener) {
            counter.serve(now, host, listener);
        }
    }

    /// The application has dropped its listener. What lay here for it goes back.
    pub(crate) fn close(&mut self, now: Instant, host: &mut WorkerHost, listener: ListenerId) {
        self.counters.remove(&listener);
        host.handle_command(now, Command::Close { listener });
    }

    pub(crate) fn hear(&mut self, now: Instant, host: &mut WorkerHost, notice: Notice) {
        match notice {
            Notice::Available(listener) | Notice::Closed(listener) => {
                self.serve(now, host, listener);
            }
            Notice::Connection(listener, connection) => {
                // Without a counter nobody wants it any more: dropped, it goes back.
                if let Some(counter) = self.counters.get_mut(&listener) {
                    counter.pass(connection);
                    counter.end_if_over(host, listener);
                }
            }
            Notice::Message(message, receipt) => {
                if let Some(inbox) = &self.inbox {
                    // Whoever does not listen to messages gets none.
                    drop(inbox.send((message, receipt)));
                }
            }
            Notice::Cordoned(cordoned) => drop(self.cordoned.send_replace(cordoned)),
            Notice::Draining => self.advance(Stage::Leaving),
            Notice::Disconnect => {
                self.inbox = None;
                self.advance(Stage::Gone);
            }
            Notice::Room => self.room.notify_waiters(),
            _ => {}
        }
    }

    fn advance(&self, stage: Stage) {
        self.stage.send_modify(|it| *it = stage.max(*it));
    }
}

impl Counter {
    /// A counter, and where those who accept find their connections.
    pub(crate) fn new(wishes: Arc<Wishes>) -> (Self, UnboundedReceiver<Connection>) {
        let (queue, connections) = unbounded_channel();
        (Self { wishes, queue: Some(queue), coming: 0 }, connections)
    }

    /// Takes as many connections as are wished for.
    fn serve(&mut self, now: Instant, host: &mut WorkerHost, listener: ListenerId) {
        self.coming += host.serve(now, listener, &self.wishes);
        self.end_if_over(host, listener);
    }

    /// Lays a connection where whoever accepts finds it.
    fn pass(&mut self, connection: Connection) {
        self.coming -= 1;
        if let Some(queue) = &self.queue {
            // If the listener is dropped just now, the connection is, too, and goes back.
            drop(queue.send(connection));
        }
    }

    fn end_if_over(&mut self, host: &WorkerHost, listener: ListenerId) {
        if self.coming == 0 && !host.shares(listener) {
            // Nothing will come any more, which those who wait learn by this.
            self.queue = None;
        }
    }
}
