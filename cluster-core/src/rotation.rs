//! The workers that share a listener, in the order of their turns.

use std::collections::VecDeque;

use crate::id::WorkerId;

/// Who was chosen longest ago comes first.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    turns: VecDeque<WorkerId>,
}

impl Rotation {
    /// Adds a worker behind all others.
    pub(crate) fn join(&mut self, worker: WorkerId) {
        if !self.contains(worker) {
            self.turns.push_back(worker);
        }
    }

    /// Takes a worker out; says whether it was in.
    pub(crate) fn leave(&mut self, worker: WorkerId) -> bool {
        let before = self.turns.len();
        self.turns.retain(|&other| other != worker);
        self.turns.len() < before
    }

    /// A worker was chosen: its next turn comes after everybody else's.
    pub(crate) fn chosen(&mut self, worker: WorkerId) {
        if self.leave(worker) {
            self.turns.push_back(worker);
        }
    }

    pub(crate) fn contains(&self, worker: WorkerId) -> bool {
        self.turns.contains(&worker)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = WorkerId> {
        self.turns.iter().copied()
    }
}
