//! What can be said about a worker without asking.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use cluster_core::{ExitStatus, Pid, WorkerId, WorkerState};

/// What is known about a worker, kept up to date by the host and readable from any thread.
///
/// It is as new as the last turn of the host, and so it may be ahead of an event that the
/// application has not yet read; it stays readable when the worker is gone.
#[derive(Debug)]
pub struct WorkerFacts {
    id: WorkerId,
    pid: AtomicU32,
    state: AtomicU8,
    connected: AtomicBool,
    cordoned: AtomicBool,
    exited_after_disconnect: OnceLock<bool>,
    exit_status: OnceLock<ExitStatus>,
}

impl WorkerFacts {
    pub(crate) const fn new(id: WorkerId) -> Self {
        Self {
            id,
            pid: AtomicU32::new(0),
            state: AtomicU8::new(0),
            connected: AtomicBool::new(true),
            cordoned: AtomicBool::new(false),
            exited_after_disconnect: OnceLock::new(),
            exit_status: OnceLock::new(),
        }
    }

    /// The worker's number.
    pub const fn id(&self) -> WorkerId {
        self.id
    }

    /// The number of its process, once it runs.
    pub fn pid(&self) -> Option<Pid> {
        match self.pid.load(Ordering::Acquire) {
            0 => None,
            pid => Some(Pid(pid)),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> WorkerState {
        STATES[usize::from(self.state.load(Ordering::Acquire))]
    }

    /// Whether its channel is open.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Whether it is to get no new connections.
    pub fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Acquire)
    }

    /// Whether its process has ended.
    pub fn is_dead(&self) -> bool {
        self.exit_status.get().is_some()
    }

    /// Whether it left because it was asked to or decided to; `None` until that is known.
    pub fn exited_after_disconnect(&self) -> Option<bool> {
        self.exited_after_disconnect.get().copied()
    }

    /// How its process ended, once it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit_status.get().copied()
    }

    pub(crate) fn forked(&self, pid: Pid) {
        self.pid.store(pid.0, Ordering::Release);
    }

    pub(crate) fn stands(&self, state: WorkerState) {
        let place = STATES.iter().position(|it| *it == state).unwrap_or(0);
        self.state.store(u8::try_from(place).unwrap_or(0), Ordering::Release);
    }

    pub(crate) fn leaves(&self, after_disconnect: bool) {
        self.exited_after_disconnect.get_or_init(|| after_disconnect);
    }

    pub(crate) fn disconnected(&self) {
        self.connected.store(false, Ordering::Release);
    }

    pub(crate) fn cordoned(&self, cordoned: bool) {
        self.cordoned.store(cordoned, Ordering::Release);
    }

    pub(crate) fn exited(&self, status: ExitStatus) {
        self.exit_status.get_or_init(|| status);
    }
}

/// The states by their place in an atomic byte.
const STATES: [WorkerState; 6] = [
    WorkerState::Forked,
    WorkerState::Online,
    WorkerState::Listening,
    WorkerState::Draining,
    WorkerState::Disconnected,
    WorkerState::Dead,
];
