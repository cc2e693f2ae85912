//! Storms: clusters in which anything can happen at any moment, each made by one seed.
//!
//! `CLUSTER_SEEDS=5000` runs that many, `CLUSTER_SEED=17` runs this one and prints all that is
//! said in it. A seed that fails prints the command that replays it.

mod figures;
mod storm;

use figures::Figures;
use storm::Storm;

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
    assert!(only.is_some() || !figures.are_mild(), "the storms are too mild");
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
