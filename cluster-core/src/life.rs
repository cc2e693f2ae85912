//! A worker's life: three facts, and what each new fact changes.
//!
//! ```text
//!   process   Starting ──Spawned──▶ Running ──Exited──▶ Exited
//!   channel   Open ───────────ChannelClosed───────────▶ Closed
//!   intent    None ──Killed──▶ Killing ──Left──▶ Disconnecting
//! ```
//!
//! The three move independently, and so "exit before end-of-channel" and "end-of-channel
//! before exit" need no case of their own: each of `Disconnect` and `Exit` is news exactly once.

use crate::id::Pid;
use crate::status::{ExitStatus, WorkerState};

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
    /// It was sent a signal.
    Killed,
    /// Its channel has ended.
    ChannelClosed,
    /// Its process has ended.
    Exited(ExitStatus),
}

/// What an application should hear of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Fork(Pid),
    Online,
    Listening,
    Draining,
    Disconnect,
    Exit(Pid, ExitStatus),
}

impl Life {
    pub(crate) const fn new() -> Self {
        Self {
            process: Process::Starting,
            channel: Channel::Open,
            intent: Intent::None,
            stage: Stage::Silent,
            exited_after_disconnect: None,
        }
    }

    /// Takes a fact in. Facts that cannot be, or are known already, change nothing and are no
    /// news: nobody can make a worker disconnect or exit twice.
    pub(crate) fn learn(&mut self, fact: Fact) -> Option<News> {
        use Channel::{Closed, Open};
        use Process::{Exited, Running, Starting};

        match (&self.process, self.channel, fact) {
            (Starting, Open | Closed, Fact::Spawned(pid)) => {
                self.process = Running { pid };
                Some(News::Fork(pid))
            }
            (Running { .. } | Exited { .. }, Open | Closed, Fact::Spawned(_)) => None,

            // A program speaks over an open channel of a process that runs; what it said last
            // may be read after the process has ended.
            (Running { .. } | Exited { .. }, Open, Fact::Online) => {
                self.advance(Stage::Online).then_some(News::Online)
            }
            (Running { .. } | Exited { .. }, Open, Fact::Listening) => {
                self.advance(Stage::Listening);
                Some(News::Listening)
            }
            (Starting, Open | Closed, Fact::Online | Fact::Listening)
            | (Running { .. } | Exited { .. }, Closed, Fact::Online | Fact::Listening) => None,

            (Starting | Running { .. } | Exited { .. }, Open, Fact::Left) => self.leave(),
            (Starting | Running { .. } | Exited { .. }, Closed, Fact::Left) => None,

            (Starting | Running { .. }, Open | Closed, Fact::Killed) => {
                if self.intent == Intent::None {
                    self.intent = Intent::Killing;
                }
                None
            }
            (Exited { .. }, Open | Closed, Fact::Killed) => None,

            (Starting | Running { .. } | Exited { .. }, Open, Fact::ChannelClosed) => {
                self.channel = Closed;
                self.settle();
                Some(News::Disconnect)
            }
            (Starting | Running { .. } | Exited { .. }, Closed, Fact::ChannelClosed) => None,

            (&Running { pid }, Open | Closed, Fact::Exited(status)) => {
                self.process = Exited { pid, status };
                self.settle();
                Some(News::Exit(pid, status))
            }
            (Starting | Exited { .. }, Open | Closed, Fact::Exited(_)) => None,
        }
    }

    /// Where the worker stands. Node leaves a worker whose channel ended after its exit in
    /// `disconnected`; here dead stays dead.
    pub(crate) const fn state(&self) -> WorkerState {
        match (&self.process, self.channel, self.intent) {
            (Process::Exited { .. }, ..) => WorkerState::Dead,
            (_, Channel::Closed, _) => WorkerState::Disconnected,
            (_, Channel::Open, Intent::Disconnecting) => WorkerState::Draining,
            (_, Channel::Open, Intent::None | Intent::Killing) => match self.stage {
                Stage::Silent => WorkerState::Forked,
                Stage::Online => WorkerState::Online,
                Stage::Listening => WorkerState::Listening,
            },
        }
    }

    pub(crate) const fn pid(&self) -> Option<Pid> {
        match self.process {
            Process::Starting => None,
            Process::Running { pid } | Process::Exited { pid, .. } => Some(pid),
        }
    }

    pub(crate) const fn exit_status(&self) -> Option<ExitStatus> {
        match self.process {
            Process::Starting | Process::Running { .. } => None,
            Process::Exited { status, .. } => Some(status),
        }
    }

    pub(crate) const fn exited_after_disconnect(&self) -> Option<bool> {
        self.exited_after_disconnect
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.process, Process::Exited { .. })
    }

    pub(crate) const fn has_channel(&self) -> bool {
        matches!(self.channel, Channel::Open)
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.intent, Intent::Disconnecting)
    }

    /// Both ends have come: nothing more can be heard of this worker.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_dead() && !self.has_channel()
    }

    fn leave(&mut self) -> Option<News> {
        if self.is_leaving() {
            return None;
        }
        self.intent = Intent::Disconnecting;
        self.exited_after_disconnect = Some(true);
        Some(News::Draining)
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
    Starting,
    Running { pid: Pid },
    Exited { pid: Pid, status: ExitStatus },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Open,
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
