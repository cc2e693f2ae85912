//! Where a worker's news become what its application waits for.

use std::sync::Arc;

use cluster_sys::worker::Notice;
use cluster_sys::{Message, Receipt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};

/// Where this worker stands, as its application may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Here,
    Leaving,
    Gone,
}

/// A worker's desk: what the host has to tell goes from here to whoever waits for it.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Until the channel ends: there will be no more messages.
    pub(crate) inbox: Option<UnboundedSender<(Message, Receipt)>>,
    pub(crate) stage: watch::Sender<Stage>,
    /// Nothing is to be accepted from sockets that this process has itself.
    pub(crate) cordoned: watch::Sender<bool>,
    pub(crate) room: Arc<Notify>,
}

impl Desk {
    pub(crate) fn new(
        inbox: UnboundedSender<(Message, Receipt)>,
        stage: watch::Sender<Stage>,
        cordoned: watch::Sender<bool>,
        room: Arc<Notify>,
    ) -> Self {
        Self { inbox: Some(inbox), stage, cordoned, room }
    }

    pub(crate) fn hear(&mut self, notice: Notice) {
        match notice {
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
