//! What goes into a worker's machine and what comes out.

use crate::address::Address;
use crate::control::{ToPrimary, ToWorker};
use crate::id::{ListenerId, RequestId};
use crate::listen::ListenError;
use crate::status::Signal;
use crate::token::HandleToken;

/// A fact.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// The primary said something.
    Received {
        /// What it said.
        message: ToWorker,
        /// The descriptor that rode along.
        handle: Option<HandleToken>,
    },
    /// The channel is at its end.
    ChannelClosed,
    /// Answers [`Action::WatchIdle`]: the application has nothing under way.
    Idle,
}

/// Work for the host.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Say this to the primary.
    Send {
        /// What to say.
        message: ToPrimary,
        /// The descriptor to send along; the host closes its copy when it is sent.
        handle: Option<HandleToken>,
    },
    /// Have the application take connections out of this passage. Its [`Event::Listening`]
    /// follows.
    AdoptPassage {
        /// The listener that they come from.
        listener: ListenerId,
        /// The passage's descriptor.
        passage: HandleToken,
    },
    /// Hand the socket of a listener that the kernel shares to the application. Its
    /// [`Event::Listening`] follows.
    Adopt {
        /// The listener.
        listener: ListenerId,
        /// Its descriptor.
        socket: HandleToken,
    },
    /// Close a descriptor.
    Close {
        /// Which one.
        connection: HandleToken,
    },
    /// Tell by [`Input::Idle`] when the application has nothing under way.
    WatchIdle,
    /// Close the channel, once all that was sent before is out.
    CloseChannel,
    /// End the process at once.
    Exit {
        /// With this code.
        code: i32,
    },
    /// End the process by a signal.
    Raise {
        /// Which one.
        signal: Signal,
    },
}

/// News for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Answers [`Agent::listen`](super::Agent::listen): there is a listener.
    Listening {
        /// The request answered.
        request: RequestId,
        /// The listener.
        listener: ListenerId,
        /// Where it really listens.
        address: Address,
        /// What all workers that share it are to know.
        data: Vec<u8>,
    },
    /// Answers [`Agent::listen`](super::Agent::listen): there is none.
    ListenFailed {
        /// The request answered.
        request: RequestId,
        /// Why.
        error: ListenError,
    },
    /// No more connections come from this listener: the worker is leaving.
    Closed {
        /// The listener.
        listener: ListenerId,
    },
    /// The worker is to accept no connections from sockets that it has itself, or may again.
    Cordoned {
        /// Whether it is not to.
        cordoned: bool,
    },
    /// The worker begins to leave gracefully.
    Draining,
    /// The channel has ended. Once.
    Disconnect,
}
