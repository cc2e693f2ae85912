//! Workers that are to get less than others, for they are fresh.

use std::collections::VecDeque;

use cluster_core::{Candidate, Schedule, View, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::scenes::{chosen, idle, shares};

/// The first of several workers is the one that is fresh.
const FRESH: WorkerId = match WorkerId::new(1) {
    Some(first) => first,
    None => unreachable!(),
};

const DRAWS: u64 = 1000;

/// Workers whose connections stay open until so many are; then the oldest ends.
struct Service {
    schedule: Schedule,
    candidates: Vec<Candidate>,
    open: VecDeque<WorkerId>,
    most: usize,
    seed: u64,
}

impl Service {
    fn new(schedule: Schedule, shares: &[u32], most: usize, seed: u64) -> Self {
        let numbered = shares.iter().zip(1..);
        Self {
            schedule,
            candidates: numbered.map(|(share, number)| idle(number, *share)).collect(),
            open: VecDeque::new(),
            most,
            seed,
        }
    }

    /// A connection comes; whoever gets it goes behind the others.
    fn connect(&mut self) -> WorkerId {
        if self.open.len() == self.most
            && let Some(oldest) = self.open.pop_front()
        {
            self.of(oldest).open -= 1;
        }
        self.seed = self.seed.wrapping_add(1);
        let view = View::new(&self.candidates, None, self.seed);
        let chosen = chosen(self.schedule.choose(&view));
        self.open.push_back(chosen);
        self.of(chosen).open += 1;
        let place = self.candidates.iter().position(|it| it.worker == chosen).expect("one of them");
        self.candidates[place..].rotate_left(1);
        chosen
    }

    fn of(&mut self, worker: WorkerId) -> &mut Candidate {
        self.candidates.iter_mut().find(|it| it.worker == worker).expect("one of them")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Of several workers, each lets such a part of its turns pass as its share has it, and no more:
    /// what is left of them is for those behind it, or, if all let them pass, for the first.
    #[test]
    fn round_robin_lets_turns_pass(shares in vec(shares(), 1..6), seed in any::<u64>()) {
        let candidates: Vec<_> = shares.iter().zip(1..).map(|(it, nth)| idle(nth, *it)).collect();
        let mut counts = vec![0.0; shares.len()];
        for nth in 0..DRAWS {
            let view = View::new(&candidates, None, seed.wrapping_add(nth));
            counts[chosen(Schedule::RoundRobin.choose(&view)).number() as usize - 1] += 1.0;
        }
        let mut left = DRAWS as f64;
        let mut expected = Vec::new();
        for share in &shares {
            expected.push(left * f64::from(*share) / 100.0);
            left -= left * f64::from(*share) / 100.0;
        }
        expected[0] += left;
        for (count, expected) in counts.iter().zip(&expected) {
            // Seven times what is usual, beyond all chance.
            let far = 7.0 * expected.max(10.0).sqrt();
            prop_assert!((count - expected).abs() <= far, "{counts:?} of {expected:?}");
        }
    }

    /// A fresh worker gets about its share of a full one's turns.
    #[test]
    fn a_fresh_worker_gets_its_share(share in 5..=100_u32, seed in any::<u64>()) {
        let mut candidates = vec![idle(1, share), idle(2, 100)];
        let mut fresh = 0_u32;
        for nth in 0..2000 {
            let view = View::new(&candidates, None, seed.wrapping_add(nth));
            let chosen = chosen(Schedule::RoundRobin.choose(&view));
            fresh += u32::from(chosen.number() == 1);
            if candidates[0].worker == chosen {
                candidates.swap(0, 1);
            }
        }
        let hundredths = fresh * 100 / (2000 - fresh);
        prop_assert!(hundredths.abs_diff(share) <= 15, "{hundredths} for {share}");
    }

    /// Of connections that stay open, each worker has its part of what any other has, but for one
    /// or two.
    #[test]
    fn least_loaded_gives_each_its_part(
        shares in vec(shares(), 1..10),
        connections in 0..400_usize,
    ) {
        let mut service = Service::new(Schedule::LeastLoaded, &shares, usize::MAX, 0);
        for _ in 0..connections {
            service.connect();
        }
        for one in &service.candidates {
            for other in &service.candidates {
                // One got its last while the other would have been no less burdened by one more.
                let most = (other.load() + 2) * one.share as usize;
                prop_assert!(one.load() * other.share as usize <= most, "{one:?} {other:?}");
            }
        }
    }
    /// A fresh worker never has more than its part of what the busiest has, and hardly less than
    /// its part of what the idlest has.
    #[test]
    fn power_of_two_gives_a_fresh_one_its_part(
        share in 5..=100_u32,
        others in 1..9_usize,
        rounds in 1..60_usize,
        seed in any::<u64>(),
    ) {
        let shares: Vec<_> = std::iter::once(share).chain(vec![100; others]).collect();
        let mut service = Service::new(Schedule::PowerOfTwo, &shares, usize::MAX, seed);
        for _ in 0..rounds * shares.len() {
            service.connect();
        }
        let fresh = service.of(FRESH).load();
        let loads = service.candidates.iter().filter(|it| it.worker != FRESH).map(Candidate::load);
        let busiest = loads.clone().max().expect("others");
        prop_assert!(fresh * 100 <= (busiest + 2) * share as usize, "{:?}", service.candidates);
        let idlest = loads.min().expect("others");
        prop_assert!(fresh + 6 >= idlest * share as usize / 100, "{:?}", service.candidates);
    }

    /// While its share grows, a fresh worker is never given more than its part of what the busiest
    /// has; and then it is given as many as any other.
    #[test]
    fn in_the_long_run_all_get_the_same(
        schedule in prop_oneof![Just(Schedule::LeastLoaded), Just(Schedule::PowerOfTwo)],
        others in 1..9_usize,
        seed in any::<u64>(),
    ) {
        let shares: Vec<_> = std::iter::once(5).chain(vec![100; others]).collect();
        let full = 20 * shares.len();
        let mut service = Service::new(schedule, &shares, full, seed);
        for share in 5..=100 {
            service.of(FRESH).share = share;
            for _ in 0..shares.len() {
                if service.connect() == FRESH {
                    let busiest = service.candidates.iter().filter(|it| it.worker != FRESH);
                    let most = busiest.map(Candidate::load).max().expect("others") + 2;
                    let fresh = service.of(FRESH).load();
                    prop_assert!(fresh * 100 <= most * share as usize, "{:?}", service.candidates);
                }
            }
        }
        // All that it was not given before have ended when so many more have come.
        for _ in 0..2 * full {
            service.connect();
        }
        let given = (0..10 * full).filter(|_| service.connect() == FRESH).count();
        let far = if schedule == Schedule::LeastLoaded { 1 } else { 30 };
        prop_assert!(given.abs_diff(10 * 20) <= far, "{given} of {}", 10 * 20);
    }
}
