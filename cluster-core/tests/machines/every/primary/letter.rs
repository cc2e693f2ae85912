//! What can happen to a primary.

use cluster_core::Schedule;

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
    // Another schedule, and the worker's answer to what it is told of it.
    GoesRound,
    Counts,
    Shares,
    Shards,
    Reported,
}

use Letter::*;

impl Letter {
    /// The schedule that comes into force.
    pub(super) const fn schedule(self) -> Option<Schedule> {
        match self {
            GoesRound => Some(Schedule::RoundRobin),
            Counts => Some(Schedule::LeastLoaded),
            Shares => Some(Schedule::None),
            Shards => Some(Schedule::Sharded),
            _ => None,
        }
    }
}

/// What comes with changes of the schedule.
pub(super) const CHANGES: [Letter; 5] = [GoesRound, Counts, Shares, Shards, Reported];

/// All others.
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
