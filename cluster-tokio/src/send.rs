//! Sending messages with back-pressure, the same on both sides.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use cluster_sys::{Encoding, NoRoom, Outbox, Outgoing, Payload, Reply, SendError, TrySendError};
use serde::Serialize;
use tokio::sync::Notify;

use crate::answer::answer;

/// Where messages to the other side are packed.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) encoding: Encoding,
    /// Notified when there may be room again.
    pub(crate) room: Arc<Notify>,
}

impl Mailbox {
    /// Packs a message when there is room for it.
    pub(crate) async fn pack<T: Serialize + ?Sized>(
        &self,
        message: &T,
        handles: Vec<OwnedFd>,
    ) -> Result<Outgoing, SendError> {
        let payload = Payload::encode(self.encoding, message)?;
        loop {
            // It hears of room from now on: what comes before it waits is not missed.
            let room = self.room.notified();
            match self.outbox.reserve(payload.len()) {
                Ok(permit) => return Ok(Outgoing::new(payload, permit).with_handles(handles)),
                Err(NoRoom::Closed) => return Err(SendError::Disconnected),
                Err(NoRoom::Full) => room.await,
            }
        }
    }

    /// Packs a message if there is room for it now.
    pub(crate) fn try_pack<T: Serialize + ?Sized>(
        &self,
        message: &T,
    ) -> Result<Outgoing, TrySendError> {
        let payload = Payload::encode(self.encoding, message).map_err(SendError::from)?;
        match self.outbox.reserve(payload.len()) {
            Ok(permit) => Ok(Outgoing::new(payload, permit)),
            Err(NoRoom::Full) => Err(TrySendError::Full),
            Err(NoRoom::Closed) => Err(SendError::Disconnected.into()),
        }
    }
}

/// Has a message sent by `order`, and waits until it is written.
pub(crate) async fn written(
    order: impl FnOnce(Reply<Result<(), SendError>>) -> Result<(), SendError>,
) -> Result<(), SendError> {
    let (reply, answer) = answer();
    order(reply)?;
    answer.await.unwrap_or(Err(SendError::Disconnected))
}
