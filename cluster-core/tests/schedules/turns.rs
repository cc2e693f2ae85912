//! Schedules that know workers by their turns, by what they have, and by chance.

use cluster_core::{Candidate, Choice, Schedule, View, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::scenes::{Scene, blind_schedules, chosen, idle, scenes, worker};

/// Hands out `connections`, each by what the schedule says, among workers that are equal and
/// take nothing; who was chosen goes behind the others.
fn hand_out(schedule: Schedule, workers: usize, connections: usize) -> Vec<usize> {
    let mut candidates: Vec<_> = (1..=workers).map(|number| idle(number, 100)).collect();
    for seed in 0..connections as u64 {
        let chosen = chosen(schedule.choose(&View::new(&candidates, None, seed)));
        let place = candidates.iter().position(|it| it.worker == chosen).expect("one of them");
        let mut candidate = candidates.remove(place);
        candidate.open += 1;
        candidates.push(candidate);
    }
    candidates.into_iter().map(|it| it.open).collect()
}

fn spread(counts: &[usize]) -> usize {
    let least = counts.iter().min().expect("some");
    counts.iter().max().expect("some") - least
}

/// How often each place is chosen in `draws` views that only chance tells apart.
fn draw(schedule: Schedule, candidates: &[Candidate], seed: u64, draws: u64) -> Vec<u64> {
    let mut counts = vec![0; candidates.len()];
    for nth in 0..draws {
        let view = View::new(candidates, None, seed.wrapping_add(nth));
        let chosen = chosen(schedule.choose(&view));
        let place = candidates.iter().position(|it| it.worker == chosen).expect("one of them");
        counts[place] += 1;
    }
    counts
}

/// As far from what is to be expected as is beyond all chance: seven times what is usual.
fn is_near(count: u64, expected: u64) -> bool {
    count.abs_diff(expected).pow(2) <= 49 * expected
}

/// The same scene, with other names for all workers.
fn renamed(scene: &Scene, names: &[usize]) -> Scene {
    let mut renamed = scene.clone();
    renamed.candidates.iter_mut().for_each(|it| it.worker = other_name(it.worker, names));
    renamed
}

fn other_name(of: WorkerId, names: &[usize]) -> WorkerId {
    worker(names[of.number() as usize - 1])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Which place is chosen has nothing to do with who is there: equals that change places change
    /// nothing but who of them gets it.
    #[test]
    fn names_are_of_no_account(
        schedule in blind_schedules(),
        scene in scenes(),
        names in Just((1..=12).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let expected = match schedule.choose(&scene.view()) {
            Choice::Worker(chosen) => Choice::Worker(other_name(chosen, &names)),
            Choice::Wait => Choice::Wait,
        };
        prop_assert_eq!(schedule.choose(&renamed(&scene, &names).view()), expected);
    }

    /// Who has no room is passed over as if it were not there.
    #[test]
    fn who_has_no_room_is_of_no_account(schedule in blind_schedules(), scene in scenes()) {
        let ready: Vec<_> = scene.view().ready().copied().collect();
        let without = View::new(&ready, scene.peer, scene.seed);
        prop_assert_eq!(schedule.choose(&without), schedule.choose(&scene.view()));
    }

    /// Turns decide between equals only: a chosen worker is not worse than any other, in
    /// whatever order they come.
    #[test]
    fn turns_decide_between_equals_only(scene in scenes(), orders in vec(any::<Index>(), 12)) {
        let mut other = scene.clone();
        for (place, order) in orders.iter().enumerate().take(other.candidates.len()) {
            let with = order.index(other.candidates.len());
            other.candidates.swap(place, with);
        }
        let least = scene.view().ready().map(Candidate::burden).min();
        for scene in [&scene, &other] {
            let first = scene.view().ready().find(|it| Some(it.burden()) == least);
            let choice = first.map_or(Choice::Wait, |it| Choice::Worker(it.worker));
            prop_assert_eq!(Schedule::LeastLoaded.choose(&scene.view()), choice);
        }
    }

    /// Whoever is chosen, only fresh ones let their turns pass before; what workers have, and who
    /// comes after it, is of no account.
    #[test]
    fn round_robin_goes_by_turns(scene in scenes(), loads in vec((0..8_usize, 0..20_usize), 12)) {
        let choice = Schedule::RoundRobin.choose(&scene.view());
        let mut other = scene.clone();
        for (candidate, (untaken, open)) in other.candidates.iter_mut().zip(loads) {
            (candidate.untaken, candidate.open) = (untaken, open);
        }
        prop_assert_eq!(Schedule::RoundRobin.choose(&other.view()), choice);
        let Choice::Worker(chosen) = choice else { return Ok(()) };
        let place = scene.candidates.iter().position(|it| it.worker == chosen).expect("one of them");
        let mut before = scene.candidates[..place].iter().filter(|it| it.has_room);
        prop_assert!(before.all(|it| it.share < 100), "a full share is no part of a turn");
        other.candidates.truncate(place + 1);
        prop_assert_eq!(Schedule::RoundRobin.choose(&other.view()), choice);
    }

    #[test]
    fn least_loaded_takes_the_smallest_burden(scene in scenes()) {
        let least = scene.view().ready().map(Candidate::burden).min();
        let chosen = match Schedule::LeastLoaded.choose(&scene.view()) {
            Choice::Worker(chosen) => Some(scene.candidate(chosen).burden()),
            Choice::Wait => None,
        };
        prop_assert_eq!(chosen, least);
    }

    /// Of three or more that differ, never the worst; of two, the better.
    #[test]
    fn power_of_two_never_takes_the_worst(scene in scenes()) {
        if let Choice::Worker(chosen) = Schedule::PowerOfTwo.choose(&scene.view()) {
            let burden = scene.candidate(chosen).burden();
            let others = scene.view().ready().filter(|it| it.worker != chosen);
            let worst = others.clone().map(Candidate::burden).max();
            prop_assert!(others.count() == 0 || Some(burden) <= worst);
        }
    }

    #[test]
    fn round_robin_is_even(workers in 1..20_usize, connections in 0..200_usize) {
        let counts = hand_out(Schedule::RoundRobin, workers, connections);
        prop_assert!(spread(&counts) <= 1, "{counts:?}");
    }

    #[test]
    fn least_loaded_is_even(workers in 1..20_usize, connections in 0..200_usize) {
        let counts = hand_out(Schedule::LeastLoaded, workers, connections);
        prop_assert!(spread(&counts) <= 1, "{counts:?}");
    }

    /// The busiest has about log log n more than the average, not log n / log log n as by pure
    /// chance.
    #[test]
    fn power_of_two_is_nearly_even(workers in 2..40_usize, rounds in 1..40_usize) {
        let counts = hand_out(Schedule::PowerOfTwo, workers, workers * rounds);
        let most = *counts.iter().max().expect("some");
        prop_assert!(most <= rounds + 4, "{counts:?}");
    }
}

proptest! {
    // Each case draws thousands of times.
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Equals get the same, at whatever place they are.
    #[test]
    fn power_of_two_prefers_no_place(
        workers in 2..9_usize,
        load in 0..20_usize,
        share in 5..=100_u32,
        seed in any::<u64>(),
    ) {
        let equal = |number| Candidate { open: load, ..idle(number, share) };
        let candidates: Vec<_> = (1..=workers).map(equal).collect();
        let counts = draw(Schedule::PowerOfTwo, &candidates, seed, 300 * workers as u64);
        prop_assert!(counts.iter().all(|it| is_near(*it, 300)), "{counts:?}");
    }

    /// Where no two are equal, each pair is picked as often as any other, at whatever places its
    /// two are: one has a chance for each that is worse.
    #[test]
    fn power_of_two_picks_all_pairs_alike(
        loads in (2..9_usize).prop_flat_map(|count| {
            Just((0..count).collect::<Vec<_>>()).prop_shuffle()
        }),
        seed in any::<u64>(),
    ) {
        let with = |(load, number)| Candidate { open: load, ..idle(number, 100) };
        let candidates: Vec<_> = loads.iter().copied().zip(1..).map(with).collect();
        let count = loads.len() as u64;
        let counts = draw(Schedule::PowerOfTwo, &candidates, seed, 150 * count * (count - 1));
        for (drawn, load) in counts.iter().zip(&loads) {
            let worse = count - 1 - *load as u64;
            prop_assert!(is_near(*drawn, 300 * worse), "{counts:?} of {loads:?}");
        }
    }
}
