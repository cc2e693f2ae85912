//! What goes into the primary's machine and what comes out.

use std::net::SocketAddr;

use crate::address::Address;
use crate::control::{ToPrimary, ToWorker};
use crate::id::{FarewellId, HandoffId, ListenerId, Pid, RequestId, SlotId, WorkerId};
use crate::limits::WORKERS_MAX;
use crate::listen::{ListenSpec, OsError};
use crate::schedule::Sharing;
use crate::status::{ExitStatus, Signal};
use crate::token::{HandleName, HandleToken};

/// A fact.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Answers [`Action::Spawn`]: the program runs. Comes before any other fact about the
    /// worker.
    Spawned {
        /// Which worker.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
    },
    /// Answers [`Action::Spawn`]: there is no process.
    SpawnFailed {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        error: OsError,
    },
    /// A worker said something.
    Received {
        /// Which worker.
        worker: WorkerId,
        /// What it said.
        message: ToPrimary,
        /// The descriptor that rode along.
        handle: Option<HandleToken>,
    },
    /// The worker has taken a connection: from here on it is the worker's. Comes before what the
    /// worker said after it took it, except for [`ToPrimary::Close`], if that closed the passage.
    Taken {
        /// Which worker.
        worker: WorkerId,
        /// Which connection.
        handoff: HandoffId,
    },
    /// The worker will not take a connection, and the primary has it again. Comes once for each
    /// that was left in a passage, after the [`ToPrimary::Close`] that closed it or after
    /// [`Action::TakeBack`].
    TakenBack {
        /// Which worker.
        worker: WorkerId,
        /// Which connection.
        handoff: HandoffId,
    },
    /// The channel is at its end. All that the worker said has been received, all that it has
    /// taken is known, and what else it was handed the primary has again.
    ChannelClosed {
        /// Whose channel.
        worker: WorkerId,
    },
    /// The process has ended. All that it said has been received, all that it has taken is
    /// known, and what else it was handed the primary has again.
    Exited {
        /// Which worker.
        worker: WorkerId,
        /// How.
        status: ExitStatus,
    },
    /// Answers [`Action::Listen`].
    ListenDone {
        /// Which listener.
        listener: ListenerId,
        /// Where it really listens, or why it cannot.
        result: Result<Address, OsError>,
    },
    /// Answers [`Action::OpenSlot`].
    SlotOpened {
        /// Which listener.
        listener: ListenerId,
        /// Which of its sockets.
        slot: SlotId,
        /// Whether the operating system has it now.
        result: Result<(), OsError>,
    },
    /// Answers [`Action::Inspect`].
    Inspected {
        /// Which listener.
        listener: ListenerId,
        /// How many connections are queued in each of its slots, in their order.
        queued: Vec<u32>,
    },
    /// There is no descriptor for a grant, and nothing was said to the worker.
    LendFailed {
        /// Which worker.
        worker: WorkerId,
        /// The request that the message would have answered.
        request: RequestId,
        /// Which listener.
        listener: ListenerId,
        /// Why.
        error: OsError,
    },
    /// There is a new connection.
    Accepted {
        /// The listener that it came through.
        listener: ListenerId,
        /// Its descriptor.
        connection: HandleToken,
        /// The other end, where it has an address.
        peer: Option<SocketAddr>,
    },
    /// The operating system would not accept a connection, and would not at once again.
    AcceptFailed {
        /// Which listener.
        listener: ListenerId,
        /// Why.
        error: OsError,
    },
    /// The moment of [`Output::Wait`](crate::Output::Wait) has come.
    Timeout,
}

/// Work for the host.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process for this worker; answered by [`Input::Spawned`] or
    /// [`Input::SpawnFailed`].
    Spawn {
        /// Which worker.
        worker: WorkerId,
    },
    /// Send a signal to the worker's process.
    Signal {
        /// Which worker.
        worker: WorkerId,
        /// Which signal.
        signal: Signal,
    },
    /// Say this to the worker.
    Send {
        /// Which worker.
        worker: WorkerId,
        /// What to say. A grant for connections comes with a passage, which the host opens; if
        /// that is not possible, the answer is [`Input::LendFailed`], at once.
        message: ToWorker,
    },
    /// Put a connection into the worker's passage. [`Input::Taken`] tells when the worker has
    /// taken it out; until then, the host can get it back. Where there is no passage any more,
    /// because the host is about to tell the worker's end, it only keeps the connection.
    Hand {
        /// Which worker.
        worker: WorkerId,
        /// The listener that it came from.
        listener: ListenerId,
        /// Tells it apart from others.
        handoff: HandoffId,
        /// Its descriptor.
        connection: HandleName,
        /// The other end, where it has an address.
        peer: Option<SocketAddr>,
    },
    /// Take everything out of the worker's passage for a listener that it has not taken itself;
    /// the passage stays open. First comes [`Input::Taken`] for what the worker has taken, then
    /// [`Input::TakenBack`] for each of the rest. If there is no passage any more, do nothing.
    TakeBack {
        /// Which worker.
        worker: WorkerId,
        /// For which listener.
        listener: ListenerId,
    },
    /// Say this to the worker, as [`Action::Send`] does, with a copy of the listener's descriptor.
    /// The copy is made at once (the listener may be closed before the message is written); if
    /// that is not possible, the answer is [`Input::LendFailed`], also at once.
    Lend {
        /// Which worker.
        worker: WorkerId,
        /// What to say.
        message: ToWorker,
        /// The listener.
        listener: ListenerId,
        /// Which of its sockets.
        slot: SlotId,
    },
    /// Say nothing more to the worker and let it see the end of the channel. What the worker
    /// still says is received until it ends the channel, too.
    EndChannel {
        /// Which worker.
        worker: WorkerId,
    },
    /// Bind and listen; answered by [`Input::ListenDone`]. This opens the first slot, number 0.
    /// No connection is accepted until [`Action::ResumeAccept`].
    Listen {
        /// Which listener.
        listener: ListenerId,
        /// Where and how.
        spec: ListenSpec,
        /// How it is to be shared: only a listener that is [sharded](Sharing::Sharded) gets
        /// further slots.
        sharing: Sharing,
    },
    /// Open one more socket on the same address; answered by [`Input::SlotOpened`].
    OpenSlot {
        /// Which listener.
        listener: ListenerId,
        /// Which of its sockets.
        slot: SlotId,
    },
    /// Have the operating system put new connections into these slots only, evenly.
    Spread {
        /// Which listener.
        listener: ListenerId,
        /// Which of its sockets; at least one.
        slots: Vec<SlotId>,
    },
    /// Look how many connections are queued in each slot; answered by [`Input::Inspected`].
    Inspect {
        /// Which listener.
        listener: ListenerId,
    },
    /// Accept connections.
    ResumeAccept {
        /// Which listener.
        listener: ListenerId,
        /// From which of its sockets.
        slot: SlotId,
    },
    /// Accept no more connections for now.
    PauseAccept {
        /// Which listener.
        listener: ListenerId,
        /// From which of its sockets.
        slot: SlotId,
    },
    /// Close the listener, with all its sockets.
    CloseListener {
        /// Which one.
        listener: ListenerId,
    },
    /// Forget a connection, and close it if it is still here. Of one that was
    /// [taken](Close::Taken) there is nothing left here but its name.
    Close {
        /// Which one.
        connection: HandleToken,
        /// Why.
        why: Close,
    },
}

/// Why the primary has nothing more to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Close {
    /// A worker has taken the connection, and has it alone.
    Taken,
    /// No worker is left that could serve it.
    NoWorker,
    /// No worker has room, and as many wait as may.
    Overload,
    /// It came with a message that carries no descriptor.
    Unexpected,
}

/// News for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker's process runs.
    Fork {
        /// Which worker.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
    },
    /// There is no process, and no worker.
    SpawnFailed {
        /// Which worker it would have been.
        worker: WorkerId,
        /// Why.
        error: OsError,
    },
    /// A worker's program runs and has adopted its channel.
    Online {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker's application has a listener.
    Listening {
        /// Which worker.
        worker: WorkerId,
        /// Where it really listens.
        address: Address,
    },
    /// A worker begins to leave gracefully.
    Draining {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker's channel has ended. Once a worker.
    Disconnect {
        /// Which worker.
        worker: WorkerId,
        /// Whether it was asked to, or said that it leaves.
        exited_after_disconnect: bool,
    },
    /// A worker's process has ended. Once a worker, before or after [`Event::Disconnect`].
    Exit {
        /// Which worker.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
        /// Whether it was asked to leave, or said that it leaves.
        exited_after_disconnect: bool,
    },
    /// The operating system does not accept connections on this address for now. Told once
    /// until it does again.
    AcceptFailed {
        /// The address.
        address: Address,
        /// Why.
        error: OsError,
    },
    /// All workers that one [`disconnect_all`](super::Primary::disconnect_all) was about have
    /// disconnected and ended.
    Farewell {
        /// Which one.
        id: FarewellId,
    },
}

/// There is no such worker, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no worker {0}")]
pub struct UnknownWorker(pub WorkerId);

/// There are as many workers as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {WORKERS_MAX} workers already")]
pub struct TooManyWorkers;
