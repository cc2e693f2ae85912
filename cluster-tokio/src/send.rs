//! Sending messages with back-pressure, the same on both sides.

use std::pin::pin;
use std::sync::Arc;

use cluster_sys::{NoRoom, Outbox, Payload, Permit, Reply, SendError, TrySendError};
use tokio::sync::Notify;

use crate::answer::answer;

/// Waits for room for a message.
pub(crate) async fn reserve(
    outbox: &Arc<Outbox>,
    room: &Notify,
    payload: &Payload,
) -> Result<Permit, SendError> {
    loop {
        let mut notified = pin!(room.notified());
        // Listen first, then look, then wait: room that comes in between is not missed.
        notified.as_mut().enable();
        match outbox.reserve(payload.len()) {
            Ok(permit) => return Ok(permit),
            Err(NoRoom::Closed) => return Err(SendError::Disconnected),
            Err(NoRoom::Full) => notified.await,
        }
    }
}

/// Takes room for a message if there is some.
pub(crate) fn try_reserve(outbox: &Arc<Outbox>, payload: &Payload) -> Result<Permit, TrySendError> {
    outbox.reserve(payload.len()).map_err(|no_room| match no_room {
        NoRoom::Full => TrySendError::Full,
        NoRoom::Closed => TrySendError::Send(SendError::Disconnected),
    })
}

/// Has a message sent by `order`, and waits until it is written.
pub(crate) async fn written(
    order: impl FnOnce(Reply<Result<(), SendError>>) -> Result<(), SendError>,
) -> Result<(), SendError> {
    let (reply, answer) = answer();
    order(reply)?;
    answer.await.unwrap_or(Err(SendError::Disconnected))
}
