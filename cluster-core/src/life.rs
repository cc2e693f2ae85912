//! A worker's life: three facts, and what each new fact changes.
//!
//! ```text
//!   process   Starting ──Spawned──▶ Running ──Exited──▶ Exited
//!   channel   Open ──Ended──▶ Ended ──ChannelClosed───▶ Closed
//!   intent    None ──Killed──▶ Killing ──Left──▶ Disconnecting
//! ```
//!
//! The three move independently, and so "exit before end-of-channel" and "end-of-channel
//! before exit" need no case of their own: each of `Disconnect` and `Exit` is news exactly once.

use std::collections::BTreeSet;

use crate::id::Pid;
use crate::status::{ExitStatus, Signal, WorkerState};

/// The three facts about one worker, and how far its program has come.
#[derive(Debug)]
pub(crate) struct Life {
    process: Process,
    channel: Channel,
    intent: Intent,
    stage: Stage,
    exited_after_disconnect: Option<bool>,
}

/// Something that happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Its process runs.
    Spawned(Pid),
    /// Its program has said so.
    Online,
    /// It shares a listener.
    Listening,
    /// It was asked to leave, or said that it leaves.
    Left,
    /// It is sent a signal; before it has a process, the signal is pending.
    Killed(Signal),
    /// Nothing more is said to it.
    Ended,
    /// Its channel has ended.
    ChannelClosed,
    /// Its process has ended.
    Exited(ExitStatus),
}

/// What an application should hear of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// With the signals that were pending.
    Fork(Pid, BTreeSet<Signal>),
    Online,
    Listening,
    Draining,
    Disconnect,
    Exit(Pid, ExitStatus),
}

impl Life {
    pub(crate) const fn new() -> Self {
        Self {
            process: Process::Starting { pending: BTreeSet::new() },
            channel: Channel::Open,
            intent: Intent::None,
            stage: Stage::Silent,
            exited_after_disconnect: None,
        }
    }

    /// Takes a fact in. Facts that cannot be, or are known already, change nothing and are no
    /// news: nobody can make a worker disconnect or exit twice.
    pub(crate) fn learn(&mut self, fact: Fact) -> Option<News> {
        use Channel::{Closed, Ended, Open};
        use Process::{Exited, Running, Starting};

        match (&mut self.process, self.channel, fact) {
            (Starting { pending }, Open | Ended | Closed, Fact::Spawned(pid)) => {
                let pending = std::mem::take(pending);
                self.process = Running { pid };
                Some(News::Fork(pid, pending))
            }
            (Running { .. } | Exited { .. }, Open | Ended | Closed, Fact::Spawned(_)) => None,

            // A program speaks over an open channel of a process that runs.
            (Running { .. }, Open | Ended, Fact::Online) => {
                self.advance(Stage::Online).then_some(News::Online)
            }
            (Running { .. }, Open | Ended, Fact::Listening) => {
                self.advance(Stage::Listening);
                Some(News::Listening)
            }
            (Running { .. }, Open | Ended, Fact::Left) => self.leave().then_some(News::Draining),
            // News when there is a process, after the fork.
            (Starting { .. }, Open | Ended, Fact::Left) => {
                self.leave();
                None
            }
            (Starting { .. }, Open | Ended, Fact::Online | Fact::Listening)
            | (Exited { .. }, Open | Ended, Fact::Online | Fact::Listening | Fact::Left)
            | (
                Starting { .. } | Running { .. } | Exited { .. },
                Closed,
                Fact::Online | Fact::Listening | Fact::Left,
            ) => None,

            (Starting { pending }, Open | Ended | Closed, Fact::Killed(signal)) => {
                pending.insert(signal);
                self.kill();
                None
            }
            (Running { .. }, Open | Ended | Closed, Fact::Killed(_)) => {
                self.kill();
                None
            }
            (Exited { .. }, Open | Ended | Closed, Fact::Killed(_)) => None,

            (Starting { .. } | Running { .. } | Exited { .. }, Open, Fact::Ended) => {
                self.channel = Ended;
                None
            }
            (Starting { .. } | Running { .. } | Exited { .. }, Ended | Closed, Fact::Ended) => None,

            (
                Starting { .. } | Running { .. } | Exited { .. },
                Open | Ended,
                Fact::ChannelClosed,
            ) => {
                self.channel = Closed;
                self.settle();
                Some(News::Disconnect)
            }
            (Starting { .. } | Running { .. } | Exited { .. }, Closed, Fact::ChannelClosed) => None,

            (&mut Running { pid }, Open | Ended | Closed, Fact::Exited(status)) => {
                self.process = Exited { pid, status };
                self.settle();
                Some(News::Exit(pid, status))
            }
            (Starting { .. } | Exited { .. }, Open | Ended | Closed, Fact::Exited(_)) => None,
        }
    }

    /// Where the worker stands. Node leaves a worker whose channel ended after its exit in
    /// `disconnected`; here dead stays dead.
    pub(crate) const fn state(&self) -> WorkerState {
        match (&self.process, self.channel, self.intent) {
            (Process::Exited { .. }, ..) => WorkerState::Dead,
            (_, Channel::Closed, _) => WorkerState::Disconnected,
            (_, Channel::Open | Channel::Ended, Intent::Disconnecting) => WorkerState::Draining,
            (_, Channel::Open | Channel::Ended, Intent::None | Intent::Killing) => match self.stage
            {
                Stage::Silent => WorkerState::Forked,
                Stage::Online => WorkerState::Online,
                Stage::Listening => WorkerState::Listening,
            },
        }
    }

    pub(crate) const fn pid(&self) -> Option<Pid> {
        match self.process {
            Process::Starting { .. } => None,
            Process::Running { pid } | Process::Exited { pid, .. } => Some(pid),
        }
    }

    pub(crate) const fn exit_status(&self) -> Option<ExitStatus> {
        match self.process {
            Process::Starting { .. } | Process::Running { .. } => None,
            Process::Exited { status, .. } => Some(status),
        }
    }

    pub(crate) const fn exited_after_disconnect(&self) -> Option<bool> {
        self.exited_after_disconnect
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.process, Process::Exited { .. })
    }

    /// Its channel has ended at neither side.
    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.channel, Channel::Open)
    }

    /// What is said to it can reach it, now or when it has started.
    pub(crate) const fn hears(&self) -> bool {
        self.is_connected() && !self.is_dead()
    }

    /// What comes over its channel comes from it.
    pub(crate) const fn speaks(&self) -> bool {
        matches!(self.process, Process::Running { .. }) && !matches!(self.channel, Channel::Closed)
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.intent, Intent::Disconnecting)
    }

    /// Both ends have come: nothing more can be heard of this worker.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_dead() && matches!(self.channel, Channel::Closed)
    }

    /// Says whether it was not leaving already.
    fn leave(&mut self) -> bool {
        let stayed = !self.is_leaving();
        self.intent = Intent::Disconnecting;
        self.exited_after_disconnect = Some(true);
        stayed
    }

    fn kill(&mut self) {
        if self.intent == Intent::None {
            self.intent = Intent::Killing;
        }
    }

    /// Moves on to `stage`, never back; says whether it moved.
    fn advance(&mut self, stage: Stage) -> bool {
        let moved = self.stage < stage;
        self.stage = self.stage.max(stage);
        moved
    }

    /// Whoever has not left by the time the first end comes did not leave.
    fn settle(&mut self) {
        self.exited_after_disconnect.get_or_insert(false);
    }
}

#[derive(Debug)]
enum Process {
    Starting { pending: BTreeSet<Signal> },
    Running { pid: Pid },
    Exited { pid: Pid, status: ExitStatus },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Open,
    /// Nothing more is said to the worker; what it still says is heard.
    Ended,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    None,
    Killing,
    Disconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Online,
    Listening,
}
