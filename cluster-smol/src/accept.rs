//! Bringing connections and those who accept them together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use cluster_sys::worker::{Command, Notice};
use cluster_sys::{Connection, ListenerId, Message, Receipt, WorkerHost};
use event_listener::Event as Notify;
use smol::channel::Sender;

/// Where this worker stands, as its application may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Here,
    Leaving,
    Gone,
}

/// The stage that this worker has come to. It only ever goes on.
#[derive(Debug)]
pub(crate) struct Standing {
    stage: AtomicU8,
    /// Notified when it goes on.
    advanced: Notify,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self { stage: AtomicU8::new(Stage::Here as u8), advanced: Notify::new() }
    }

    fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.advanced.notify(usize::MAX);
    }

    /// Waits for a stage, or a later one.
    pub(crate) async fn reached(&self, stage: Stage) {
        loop {
            // Listen first, then look, then wait: what comes in between is not missed.
            let advanced = self.advanced.listen();
            if self.stage.load(Ordering::SeqCst) >= stage as u8 {
                return;
            }
            advanced.await;
        }
    }
}

/// A worker's desk: whoever accepts waits here, and so does what nobody has accepted yet.
///
/// A connection is taken from the primary only when somebody waits for it. One whose waiter has
/// gone away meanwhile is kept for the next; dropped, it goes back to the primary.
#[derive(Debug)]
pub(crate) struct Desk {
    counters: HashMap<ListenerId, Counter>,
    /// Until the channel ends: there will be no more messages.
    pub(crate) inbox: Option<Sender<(Message, Receipt)>>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) room: Arc<Notify>,
}

/// One listener's part of the desk.
#[derive(Debug, Default)]
struct Counter {
    waiters: VecDeque<Sender<Connection>>,
    /// Connections that are taken and on their way here.
    coming: usize,
    /// Connections whose waiter went away.
    spare: VecDeque<Connection>,
}

impl Desk {
    pub(crate) fn new(
        inbox: Sender<(Message, Receipt)>,
        standing: Arc<Standing>,
        room: Arc<Notify>,
    ) -> Self {
        Self { counters: HashMap::new(), inbox: Some(inbox), standing, room }
    }

    /// Somebody waits for the next connection.
    pub(crate) fn wait(
        &mut self,
        now: Instant,
        host: &mut WorkerHost,
        listener: ListenerId,
        waiter: Sender<Connection>,
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
                    drop(inbox.try_send((message, receipt)));
                }
            }
            Notice::Draining => self.standing.advance(Stage::Leaving),
            Notice::Disconnect => {
                self.inbox = None;
                self.standing.advance(Stage::Gone);
            }
            Notice::Room => drop(self.room.notify(usize::MAX)),
            _ => {}
        }
    }
}

impl Drop for Desk {
    /// A driver that is gone takes everything with it, and nobody is to wait for more.
    fn drop(&mut self) {
        self.standing.advance(Stage::Gone);
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
            if let Err(refused) = waiter.try_send(connection) {
                self.spare.push_front(refused.into_inner());
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
