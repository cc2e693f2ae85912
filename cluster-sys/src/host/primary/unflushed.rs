//! For whom there is something to write.

use cluster_core::WorkerId;

/// Workers to which something was queued since the last flush.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    workers: Vec<WorkerId>,
}

impl Unflushed {
    /// Many messages to one worker are noted once.
    pub(super) fn note(&mut self, worker: WorkerId) {
        if self.workers.last() != Some(&worker) {
            self.workers.push(worker);
        }
    }

    pub(super) fn note_all(&mut self, workers: impl IntoIterator<Item = WorkerId>) {
        self.workers.extend(workers);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// The workers; to be [given back](Self::keep) for their capacity.
    pub(super) fn take(&mut self) -> Vec<WorkerId> {
        std::mem::take(&mut self.workers)
    }

    /// Keeps the capacity, if nobody was noted meanwhile.
    pub(super) fn keep(&mut self, mut workers: Vec<WorkerId>) {
        if self.workers.is_empty() {
            workers.clear();
            self.workers = workers;
        }
    }
}
