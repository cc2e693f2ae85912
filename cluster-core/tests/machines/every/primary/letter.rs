//! What can happen to a primary.

/// What can happen to a primary with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    // Commands.
    Disconnect,
    DisconnectAll,
    Kill,
    Cordon,
    Uncordon,
    EndChannel,
    // The process and its channel.
    Spawned,
    SpawnFailed,
    Exited,
    ChannelClosed,
    // Its passages.
    Taken,
    TakenBack,
    TakenStray,
    TakenBackStray,
    // What the worker says.
    Online,
    Listen,
    Listening,
    Close,
    Leaving,
    Returned,
    Finished,
    Awake,
    Unexpected,
    // Sockets and time.
    Bound,
    BindFailed,
    SlotOpened,
    SlotFailed,
    Queued,
    NothingQueued,
    Exhausted,
    LendFailed,
    Accepted,
    AcceptFailed,
    SecondPasses,
}

use Letter::*;

/// All of them.
pub(super) const ALPHABET: [Letter; 34] = [
    Disconnect,
    DisconnectAll,
    Kill,
    Cordon,
    Uncordon,
    EndChannel,
    Spawned,
    SpawnFailed,
    Exited,
    ChannelClosed,
    Taken,
    TakenBack,
    TakenStray,
    TakenBackStray,
    Online,
    Listen,
    Listening,
    Close,
    Leaving,
    Returned,
    Finished,
    Awake,
    Unexpected,
    Bound,
    BindFailed,
    SlotOpened,
    SlotFailed,
    Queued,
    NothingQueued,
    Exhausted,
    LendFailed,
    Accepted,
    AcceptFailed,
    SecondPasses,
];
