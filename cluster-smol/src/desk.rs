//! Where a worker's news become what its application waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use cluster_sys::worker::Notice;
use cluster_sys::{Message, Receipt};
use event_listener::Event as Notify;
use smol::channel::Sender;

/// Where this worker stands, as its application may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Here,
    Leaving,
    Gone,
}

/// The stage that this worker has come to, which only ever goes on, and whether it is cordoned
/// off.
#[derive(Debug)]
pub(crate) struct Standing {
    stage: AtomicU8,
    /// Nothing is to be accepted from sockets that this process has itself.
    cordoned: AtomicBool,
    /// Notified when something changes.
    changed: Notify,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self {
            stage: AtomicU8::new(Stage::Here as u8),
            cordoned: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.changed.notify(usize::MAX);
    }

    fn cordon(&self, cordoned: bool) {
        self.cordoned.store(cordoned, Ordering::SeqCst);
        self.changed.notify(usize::MAX);
    }

    /// Waits for a stage, or a later one.
    pub(crate) async fn reached(&self, stage: Stage) {
        self.until(|| self.has_reached(stage)).await;
    }

    pub(crate) fn has_reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::SeqCst) >= stage as u8
    }

    /// Waits until the worker is cordoned off, or is not.
    pub(crate) async fn cordoned(&self, cordoned: bool) {
        self.until(|| self.is_cordoned() == cordoned).await;
    }

    pub(crate) fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::SeqCst)
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            // Listen first, then look again, then wait: what comes in between is not missed.
            let changed = self.changed.listen();
            if !holds() {
                changed.await;
            }
        }
    }
}

/// A worker's desk: what the host has to tell goes from here to whoever waits for it.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Until the channel ends: there will be no more messages.
    pub(crate) inbox: Option<Sender<(Message, Receipt)>>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) room: Arc<Notify>,
}

impl Desk {
    pub(crate) fn new(
        inbox: Sender<(Message, Receipt)>,
        standing: Arc<Standing>,
        room: Arc<Notify>,
    ) -> Self {
        Self { inbox: Some(inbox), standing, room }
    }

    pub(crate) fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Message(message, receipt) => {
                if let Some(inbox) = &self.inbox {
                    // Whoever does not listen to messages gets none.
                    drop(inbox.try_send((message, receipt)));
                }
            }
            Notice::Cordoned(cordoned) => self.standing.cordon(cordoned),
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
