//! What came of all storms.

use std::collections::BTreeMap;

use cluster_core::ExitStatus;

use super::storm::{Fate, Storm};
use crate::world::process::Stage;

#[derive(Debug, Default)]
pub(super) struct Figures {
    storms: usize,
    steps: usize,
    /// Each is to happen in some storm.
    happenings: BTreeMap<&'static str, usize>,
    fates: BTreeMap<Fate, usize>,
}

impl Figures {
    /// Something that storms are to bring did not happen at all.
    pub(super) fn are_mild(&self) -> bool {
        self.happenings.values().any(|it| *it == 0) || self.fates.len() < 5
    }

    pub(super) fn add(&mut self, storm: &Storm) {
        self.storms += 1;
        self.steps += storm.world.tally.steps;
        let clean = |status: &ExitStatus| status.code() == Some(0);
        let crashed = storm.statuses().filter(|it| !clean(it)).count();
        let others = [
            ("workers", storm.world.processes.len()),
            ("crashed", crashed),
            ("schedules", storm.schedules),
        ];
        for (name, count) in storm.world.tally.happenings().into_iter().chain(others) {
            *self.happenings.entry(name).or_default() += count;
        }
        for fate in storm.fates() {
            *self.fates.entry(fate).or_default() += 1;
        }
        let alive = storm.world.processes.values().filter(|it| it.stage != Stage::Reaped).count();
        assert_eq!(alive, 0, "all workers are gone");
    }
}
