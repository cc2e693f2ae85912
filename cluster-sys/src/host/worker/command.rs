//! What an application may want of a worker's host.

use cluster_core::{ListenError, ListenSpec, ListenerId, Signal};

use super::{Share, WorkerHost};
use crate::error::SendError;
use crate::message::Outgoing;
use crate::reply::Reply;

/// A wish of the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Share a listener.
    Listen {
        /// Where and how.
        spec: ListenSpec,
        /// Hears which listener it is, or why there is none.
        reply: Reply<Result<Share, ListenError>>,
    },
    /// Share a listener no longer.
    Close {
        /// Which one.
        listener: ListenerId,
    },
    /// Leave gracefully.
    Disconnect,
    /// End the process by a signal, and not by accident.
    Kill {
        /// Which signal.
        signal: Signal,
    },
    /// Close the channel as an accident would: the process exits with status 0.
    CloseChannel,
    /// Send a message to the primary.
    Send {
        /// What to send.
        message: Outgoing,
        /// Hears when it is written.
        reply: Option<Reply<Result<(), SendError>>>,
    },
}

impl WorkerHost {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Listen { spec, reply } => {
                let request = self.core.listen(spec);
                self.requests.insert(request, reply);
            }
            Command::Close { listener } => self.core.close(listener),
            Command::Disconnect => self.core.disconnect(),
            Command::Kill { signal } => self.core.kill(signal),
            Command::CloseChannel => self.core.close_channel(),
            Command::Send { message, reply } => match (&mut self.link, reply) {
                (Some(link), reply) => link.send_user(message, reply),
                (None, Some(reply)) => reply.send(Err(SendError::Disconnected)),
                (None, None) => {}
            },
        }
    }
}
