//! Bringing connections and those who accept them together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use cluster_sys::worker::{Command, Notice};
use cluster_sys::{Connection, ListenerId, Message, Receipt, WorkerHost};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot, watch};

/// Where this worker stands, as its application may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Here,
    Leaving,
    Gone,
}

/// A worker's desk: whoever accepts waits here, and so does what nobody has accepted yet.
///
/// A connection is taken from the primary only when somebody waits for it. One whose waiter has
/// gone away meanwhile is kept for the next; dropped, it goes back to the primary.
#[derive(Debug)]
pub(crate) struct Desk {
    counters: HashMap<ListenerId, Counter>,
    /// Until the channel ends: there will be no more messages.
    pub(crate) inbox: Option<UnboundedSender<(Message, Receipt)>>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) room: Arc<Notify>,
}

/// One listener's part of the desk.
#[derive(Debug, Default)]
struct Counter {
    waiters: VecDeque<oneshot::Sender<Connection>>,
    /// Connections that are taken and on their way here.
    coming: usize,
    /// Connections whose waiter went away.
    spare: VecDeque<Connection>,
}

impl Desk {
    pub(crate) fn new(
        inbox: UnboundedSender<(Message, Receipt)>,
        stage: watch::Sender<Stage>,
        room: Arc<Notify>,
    ) -> Self {
        Self { counters: HashMap::new(), inbox: Some(inbox), stage, room }
    }

    /// Somebody waits for the next connection.
    pub(crate) fn wait(
        &mut self,
        now: Instant,
        host: &mut WorkerHost,
        listener: ListenerId,
        waiter: oneshot::Sender<Connection>,
    ) {
        let counter = self.counters.entry(listener).or_default();
        counter.waiters.push_back(waiter);
        counter.serve(now, host, listener);
    }

    /// The application has dropped its listener. What lay here for it goes back.
    pub(crate) fn close(&mut self, now: Instant, host: &mut WorkerHost, listener: ListenerId) {
        self.counters.remove(&listener);
        host.handle_command(now, Command::Close { listener });
    }

    pub(crate) fn hear(&mut self, now: Instant, host: &mut WorkerHost, notice: Notice) {
        match notice {
            Notice::Available(listener) | Notice::Closed(listener) => {
                if let Some(counter) = self.counters.get_mut(&listener) {
                    counter.serve(now, host, listener);
                }
            }
            Notice::Connection(listener, connection) => {
                // Without a counter nobody wants it any more: dropped, it goes back.
                if let Some(counter) = self.counters.get_mut(&listener) {
                    counter.coming -= 1;
                    counter.spare.push_back(connection);
                    counter.serve(now, host, listener);
                }
            }
            Notice::Message(message, receipt) => {
                if let Some(inbox) = &self.inbox {
                    // Whoever does not listen to messages gets none.
                    drop(inbox.send((message, receipt)));
                }
            }
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
    /// Gives what is there to those who wait, and takes as many connections as there are
    /// waiters left.
    fn serve(&mut self, now: Instant, host: &mut WorkerHost, listener: ListenerId) {
        self.waiters.retain(|waiter| !waiter.is_closed());
        while let Some(connection) = self.spare.pop_front() {
            let Some(waiter) = self.waiters.pop_front() else {
                self.spare.push_front(connection);
                break;
            };
            if let Err(connection) = waiter.send(connection) {
                self.spare.push_front(connection);
            }
        }
        while self.coming < self.waiters.len() && host.take(now, listener) {
            self.coming += 1;
        }
        if self.coming == 0 && !host.shares(listener) {
            // Nothing will come any more, which they learn by this.
            self.waiters.clear();
        }
    }
}
