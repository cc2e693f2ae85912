//! What holds of every schedule, whatever there is to see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use cluster_core::limits::STICKY_BOUND_DEFAULT;
use cluster_core::{Candidate, Choice, Key, Rule, Schedule, View, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What is to be seen of one connection.
#[derive(Clone, Debug)]
struct Scene {
    candidates: Vec<Candidate>,
    peer: Option<SocketAddr>,
    seed: u64,
}

impl Scene {
    fn view(&self) -> View<'_> {
        View::new(&self.candidates, self.peer, self.seed)
    }

    fn ready(&self) -> BTreeSet<WorkerId> {
        self.view().ready().map(|it| it.worker).collect()
    }

    fn candidate(&self, worker: WorkerId) -> &Candidate {
        self.candidates.iter().find(|it| it.worker == worker).expect("one of them")
    }
}

fn worker(number: usize) -> WorkerId {
    WorkerId::new(u32::try_from(number).expect("small")).expect("not 0")
}

fn peers() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Workers with numbers of their own, in any order.
fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..8_usize, 0..20_usize, any::<bool>(), prop_oneof![Just(100_u32), 5..=100_u32]);
    let some = vec(one, 0..12).prop_map(|all| {
        let numbered = all.into_iter().zip(1..);
        numbered
            .map(|((untaken, open, has_room, share), number)| Candidate {
                worker: worker(number),
                untaken,
                open,
                has_room,
                share,
            })
            .collect::<Vec<_>>()
    });
    some.prop_shuffle()
}

fn scenes() -> impl Strategy<Value = Scene> {
    (candidates(), proptest::option::of(peers()), any::<u64>())
        .prop_map(|(candidates, peer, seed)| Scene { candidates, peer, seed })
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![Just(Key::PeerIp), Just(Key::PeerNetwork)]
}

/// From an equal part to three times that.
fn bounds() -> impl Strategy<Value = NonZeroU32> {
    (100..300_u32).prop_map(|it| NonZeroU32::new(it).expect("not 0"))
}

/// All but those of one's own.
fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::RoundRobin),
        Just(Schedule::None),
        Just(Schedule::Sharded),
        Just(Schedule::LeastLoaded),
        Just(Schedule::PowerOfTwo),
        keys().prop_map(|by| Schedule::Sticky { by, bound: None }),
        (keys(), bounds()).prop_map(|(by, bound)| Schedule::Sticky { by, bound: Some(bound) }),
    ]
}

/// Hands out `connections`, each by what the schedule says, among workers that are equal and
/// take nothing; who was chosen goes behind the others.
fn hand_out(schedule: Schedule, workers: usize, connections: usize) -> BTreeMap<WorkerId, usize> {
    let idle = |number| Candidate {
        worker: worker(number),
        untaken: 0,
        open: 0,
        has_room: true,
        share: 100,
    };
    let mut candidates: Vec<_> = (1..=workers).map(idle).collect();
    for seed in 0..connections as u64 {
        let choice = schedule.choose(&View::new(&candidates, None, seed));
        let Choice::Worker(chosen) = choice else { panic!("somebody has room") };
        let place = candidates.iter().position(|it| it.worker == chosen).expect("one of them");
        let mut candidate = candidates.remove(place);
        candidate.open += 1;
        candidates.push(candidate);
    }
    candidates.into_iter().map(|it| (it.worker, it.open)).collect()
}

fn spread(counts: &BTreeMap<WorkerId, usize>) -> usize {
    let least = counts.values().min().expect("some");
    counts.values().max().expect("some") - least
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The peer's own worker may have no room: then the connection waits. All other rules
    /// choose one that has room, if there is any.
    #[test]
    fn only_who_has_room_is_chosen(schedule in schedules(), scene in scenes()) {
        let waits_for_its_own =
            scene.peer.is_some() && matches!(schedule, Schedule::Sticky { .. });
        let bounded = matches!(schedule, Schedule::Sticky { bound: Some(_), .. });
        match schedule.choose(&scene.view()) {
            Choice::Worker(chosen) if waits_for_its_own && !bounded => {
                prop_assert!(scene.candidates.iter().any(|it| it.worker == chosen));
            }
            Choice::Worker(chosen) => prop_assert!(scene.ready().contains(&chosen)),
            Choice::Wait => prop_assert!(scene.ready().is_empty() || waits_for_its_own),
        }
    }

    #[test]
    fn the_same_view_gives_the_same_choice(schedule in schedules(), scene in scenes()) {
        let again = scene.clone();
        prop_assert_eq!(schedule.choose(&scene.view()), schedule.choose(&again.view()));
    }

    /// Turns decide between equals only: a chosen worker is not worse than any other, in
    /// whatever order they come.
    #[test]
    fn turns_decide_between_equals_only(
        scene in scenes(),
        orders in vec(any::<Index>(), 12),
    ) {
        let mut other = scene.clone();
        for (place, order) in orders.iter().enumerate().take(other.candidates.len()) {
            let with = order.index(other.candidates.len());
            other.candidates.swap(place, with);
        }
        type Worth = fn(&Candidate) -> u64;
        let rules: [(Schedule, Worth); 2] = [
            (Schedule::LeastLoaded, |it| it.burden()),
            (Schedule::RoundRobin, |_| 0),
        ];
        for (schedule, worth) in rules {
            // Slow starts are a matter of chance under round-robin.
            let even = |scene: &Scene| {
                let mut scene = scene.clone();
                scene.candidates.iter_mut().for_each(|it| it.share = 100);
                scene
            };
            let scenes = [even(&scene), even(&other)];
            let [one, two] = [&scenes[0], &scenes[1]].map(|scene| {
                match schedule.choose(&scene.view()) {
                    Choice::Worker(chosen) => Some(worth(scene.candidate(chosen))),
                    Choice::Wait => None,
                }
            });
            prop_assert_eq!(one, two);
            let best = scenes[0].view().ready().map(worth).min();
            prop_assert_eq!(one, best, "nobody is better");
            let first = scenes[0].view().ready().find(|it| Some(worth(it)) == best);
            let choice = first.map_or(Choice::Wait, |it| Choice::Worker(it.worker));
            prop_assert_eq!(schedule.choose(&scenes[0].view()), choice, "who is first in turn");
        }
        for by in [Key::PeerIp, Key::PeerNetwork] {
            for bound in [None, NonZeroU32::new(STICKY_BOUND_DEFAULT)] {
                let sticky = Schedule::Sticky { by, bound };
                let choices = [&scene, &other].map(|scene| sticky.choose(&scene.view()));
                prop_assert!(scene.peer.is_none() || choices[0] == choices[1], "turns are none");
            }
        }
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
        let most = *counts.values().max().expect("some");
        prop_assert!(most <= rounds + 4, "{counts:?}");
    }

    /// Whatever port, and whatever else there is to see: as long as the workers are the same.
    #[test]
    fn the_same_peer_goes_to_the_same_worker(
        by in keys(),
        scene in scenes(),
        peer in peers(),
        ports in any::<[u16; 2]>(),
        loads in vec((0..8_usize, any::<bool>()), 12),
        seed in any::<u64>(),
    ) {
        let schedule = Schedule::Sticky { by, bound: None };
        let mut later = scene.clone();
        for (candidate, (untaken, has_room)) in later.candidates.iter_mut().zip(loads) {
            (candidate.untaken, candidate.has_room) = (untaken, has_room);
        }
        let at = |port| Some(SocketAddr::new(peer.ip(), port));
        let first = View::new(&scene.candidates, at(ports[0]), scene.seed);
        let second = View::new(&later.candidates, at(ports[1]), seed);
        prop_assert_eq!(schedule.choose(&first), schedule.choose(&second));
    }

    /// The last eight bits of an IPv4 address are of no account.
    #[test]
    fn a_network_goes_to_one_worker(scene in scenes(), ip in any::<[u8; 4]>(), host in any::<u8>()) {
        let by = Key::PeerNetwork;
        let schedule = Schedule::Sticky { by, bound: None };
        let [a, b, c, _] = ip;
        let choices = [Ipv4Addr::from(ip), Ipv4Addr::new(a, b, c, host)].map(|ip| {
            let mapped = SocketAddr::new(ip.to_ipv6_mapped().into(), 7);
            let choices = [SocketAddr::new(ip.into(), 9), mapped].map(|peer| {
                schedule.choose(&View::new(&scene.candidates, Some(peer), scene.seed))
            });
            assert_eq!(choices[0], choices[1], "an IPv4 address is what it is within IPv6");
            choices[0]
        });
        prop_assert_eq!(choices[0], choices[1]);
    }

    /// When a worker goes, only its peers move; when one comes, peers move to it only.
    #[test]
    fn only_the_peers_of_who_comes_or_goes_move(
        by in keys(),
        scene in scenes(),
        place in any::<Index>(),
        peers in vec(peers(), 1..50),
    ) {
        prop_assume!(scene.candidates.len() > 1);
        let schedule = Schedule::Sticky { by, bound: None };
        let mut fewer = scene.candidates.clone();
        let gone = fewer.remove(place.index(fewer.len())).worker;
        for peer in peers {
            let with = schedule.choose(&View::new(&scene.candidates, Some(peer), 0));
            let without = schedule.choose(&View::new(&fewer, Some(peer), 0));
            prop_assert!(with == without || with == Choice::Worker(gone));
        }
    }

    /// Connections that stay open, from any peers: no worker ever has more than its bound, and
    /// none waits while all have room.
    #[test]
    fn a_bounded_load_is_never_exceeded(
        by in keys(),
        bound in bounds(),
        workers in 1..12_usize,
        // A few peers, so that they crowd.
        hosts in vec(0..6_u8, 1..150),
        ends in vec(any::<Option<Index>>(), 150),
    ) {
        let schedule = Schedule::Sticky { by, bound: Some(bound) };
        let fresh = |number| Candidate {
            worker: worker(number),
            untaken: 0,
            open: 0,
            has_room: true,
            share: 100,
        };
        let mut candidates: Vec<_> = (1..=workers).map(fresh).collect();
        for (host, end) in hosts.into_iter().zip(ends) {
            let peer = SocketAddr::from(([10, 0, host, 1], 80));
            let choice = schedule.choose(&View::new(&candidates, Some(peer), 0));
            let Choice::Worker(chosen) = choice else { panic!("there always is one") };
            let place = candidates.iter().position(|it| it.worker == chosen).expect("one of them");
            candidates[place].open += 1;
            let all: usize = candidates.iter().map(Candidate::load).sum();
            let most = (all * bound.get() as usize).div_ceil(100 * workers);
            prop_assert!(candidates[place].open <= most, "{candidates:?}");
            if let Some(end) = end {
                let place = end.index(workers);
                candidates[place].open = candidates[place].open.saturating_sub(1);
            }
        }
    }

    /// While its worker has its part at most, a peer stays there.
    #[test]
    fn a_bound_that_is_not_reached_changes_nothing(by in keys(), bound in bounds(), scene in scenes()) {
        let idle = |it: &Candidate| Candidate { untaken: 0, open: 0, has_room: true, ..*it };
        let candidates: Vec<_> = scene.candidates.iter().map(idle).collect();
        let choices = [None, Some(bound)].map(|bound| {
            Schedule::Sticky { by, bound }.choose(&View::new(&candidates, scene.peer, scene.seed))
        });
        prop_assert_eq!(choices[0], choices[1]);
    }

    /// A rule of one's own is asked, and its answer is the answer.
    #[test]
    fn a_rule_of_ones_own_decides(scene in scenes()) {
        fn last(view: &View<'_>) -> Choice {
            view.candidates().last().map_or(Choice::Wait, |it| Choice::Worker(it.worker))
        }
        let last_one = scene.candidates.last().map_or(Choice::Wait, |it| Choice::Worker(it.worker));
        prop_assert_eq!(Schedule::Custom(Rule(last)).choose(&scene.view()), last_one);
    }

    /// A fresh worker gets about its share of a full one's turns.
    #[test]
    fn a_fresh_worker_gets_its_share(share in 5..=100_u32, seed in any::<u64>()) {
        let of = |number, share| Candidate {
            worker: worker(number),
            untaken: 0,
            open: 0,
            has_room: true,
            share,
        };
        let mut candidates = vec![of(1, share), of(2, 100)];
        let mut fresh = 0_u32;
        for nth in 0..2000 {
            let view = View::new(&candidates, None, seed.wrapping_add(nth));
            let Choice::Worker(chosen) = Schedule::RoundRobin.choose(&view) else {
                panic!("all are idle")
            };
            fresh += u32::from(chosen == worker(1));
            if candidates[0].worker == chosen {
                candidates.swap(0, 1);
            }
        }
        let hundredths = fresh * 100 / (2000 - fresh);
        prop_assert!(hundredths.abs_diff(share) <= 15, "{hundredths} for {share}");
    }
}

/// Each schedule has the name that it is asked for by.
#[test]
fn names() {
    let named = |name: &str| name.parse::<Schedule>();
    let bound = NonZeroU32::new(STICKY_BOUND_DEFAULT);
    let known = [
        ("rr", Schedule::RoundRobin),
        ("none", Schedule::None),
        ("sharded", Schedule::Sharded),
        ("least-loaded", Schedule::LeastLoaded),
        ("power-of-two", Schedule::PowerOfTwo),
        ("sticky", Schedule::Sticky { by: Key::PeerIp, bound }),
    ];
    for (name, schedule) in known {
        assert_eq!(named(name), Ok(schedule));
    }
    for unknown in ["", "RR", "round-robin"] {
        let error = named(unknown).expect_err("unknown").to_string();
        assert!(known.iter().all(|(name, _)| error.contains(name)), "{error}");
    }
}
