//! Storms: clusters in which anything can happen at any moment, each made by one seed.
//!
//! `CLUSTER_SEEDS=5000` runs that many, `CLUSTER_SEED=17` runs this one and prints all that is
//! said in it. A seed that fails prints the command that replays it.

mod storm;

use std::collections::BTreeMap;

use storm::{Fate, Storm};

use crate::world::process::Stage;

const SEEDS: u64 = 300;

#[test]
fn no_connection_is_lost_in_a_storm() {
    let only = from_environment("CLUSTER_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("CLUSTER_SEEDS").unwrap_or(SEEDS),
    };
    let mut figures = Figures::default();
    for seed in seeds {
        let replay = Replay(seed);
        let mut storm = Storm::new(seed);
        if only.is_some() {
            storm.world.print();
        }
        storm.rage();
        storm.calm_down();
        storm.serve_all();
        storm.say_farewell();
        figures.add(&storm);
        std::mem::forget(replay);
    }
    println!("{figures:#?}");
    assert!(only.is_some() || !figures.are_mild(), "the storms are too mild: {figures:?}");
}

/// What came of all storms.
#[derive(Debug, Default)]
struct Figures {
    storms: usize,
    steps: usize,
    workers: usize,
    crashed: usize,
    accept_failures: usize,
    accepted_by_workers: usize,
    rescued: usize,
    returned: usize,
    probes: usize,
    slots_refused: usize,
    schedules: usize,
    budget_reached: usize,
    taken_back: usize,
    recovered: usize,
    rescued_untaken: usize,
    raced: usize,
    fates: BTreeMap<Fate, usize>,
}

impl Figures {
    /// Something that storms are to bring did not happen at all.
    fn are_mild(&self) -> bool {
        let Self { accept_failures, accepted_by_workers, rescued, returned, .. } = *self;
        let Self { crashed, probes, slots_refused, budget_reached, .. } = *self;
        let Self { taken_back, recovered, rescued_untaken, raced, schedules, .. } = *self;
        let happened = [
            accept_failures,
            accepted_by_workers,
            rescued,
            returned,
            crashed,
            probes,
            slots_refused,
            budget_reached,
            taken_back,
            recovered,
            rescued_untaken,
            raced,
            schedules,
        ];
        happened.contains(&0) || self.fates.len() < 5
    }

    fn add(&mut self, storm: &Storm) {
        self.storms += 1;
        self.steps += storm.world.tally.steps;
        self.accept_failures += storm.world.tally.accept_failures;
        self.accepted_by_workers += storm.world.tally.accepted_by_workers;
        self.rescued += storm.world.tally.rescued;
        self.returned += storm.world.tally.returned;
        self.probes += storm.world.tally.probes;
        self.slots_refused += storm.world.tally.slots_refused;
        self.schedules += storm.schedules;
        self.budget_reached += storm.world.tally.budget_reached;
        self.taken_back += storm.world.tally.taken_back;
        self.recovered += storm.world.tally.recovered;
        self.rescued_untaken += storm.world.tally.rescued_untaken;
        self.raced += storm.world.tally.raced;
        self.workers += storm.world.processes.len();
        let clean = |status: cluster_core::ExitStatus| status.code() == Some(0);
        self.crashed += storm.statuses().filter(|status| !clean(*status)).count();
        for fate in storm.fates() {
            *self.fates.entry(fate).or_default() += 1;
        }
        let alive = storm.world.processes.values().filter(|it| it.stage != Stage::Reaped).count();
        assert_eq!(alive, 0, "all workers are gone");
    }
}

/// Says how to repeat what went wrong, unless it is forgotten.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        let seed = self.0;
        println!(
            "replay with: CLUSTER_SEED={seed} cargo test -p cluster-core --test machines \
             no_connection_is_lost_in_a_storm -- --nocapture"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a seed is replayed by the environment")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
