//! Peers that stick to their workers, with bounds and without.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use cluster_core::{Candidate, Choice, Key, Schedule, View, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::scenes::{bounds, chosen, idle, keys, peers, scenes};

/// The workers as a peer would have them: its own comes first, then whose it would be if that one
/// were gone, and so on.
fn ranking(by: Key, candidates: &[Candidate], peer: SocketAddr) -> Vec<WorkerId> {
    let unbounded = Schedule::Sticky { by, bound: None };
    let mut left = candidates.to_vec();
    let mut ranking = Vec::new();
    while let Choice::Worker(next) = unbounded.choose(&View::new(&left, Some(peer), 0)) {
        left.retain(|it| it.worker != next);
        ranking.push(next);
    }
    ranking
}

/// Whether a worker has room and less than `bound` hundredths of an equal part of all connections,
/// the new one included.
fn is_free(candidates: &[Candidate], bound: NonZeroU32, worker: WorkerId) -> bool {
    let all = candidates.iter().map(Candidate::load).sum::<usize>() + 1;
    let free = |it: &Candidate| {
        it.has_room && it.load() * 100 * candidates.len() < all * bound.get() as usize
    };
    candidates.iter().any(|it| it.worker == worker && free(it))
}

/// Peers of which each keeps one connection at a time.
struct Crowd {
    schedule: Schedule,
    bound: usize,
    candidates: Vec<Candidate>,
    /// Each with all workers there will ever be, as it would have them, and with where it is.
    peers: Vec<(SocketAddr, Vec<WorkerId>, Option<WorkerId>)>,
}

impl Crowd {
    /// All peers come, one after the other.
    fn new(by: Key, bound: NonZeroU32, workers: usize, peers: Vec<SocketAddr>) -> Self {
        let ever: Vec<_> = (1..=workers + 1).map(|number| idle(number, 100)).collect();
        let with = |peer| (peer, ranking(by, &ever, peer), None);
        let mut crowd = Self {
            schedule: Schedule::Sticky { by, bound: Some(bound) },
            bound: bound.get() as usize,
            candidates: ever[..workers].to_vec(),
            peers: peers.into_iter().map(with).collect(),
        };
        for nth in 0..crowd.peers.len() {
            crowd.come_again(nth);
        }
        crowd
    }

    /// A peer ends the connection that it has, if it has one, and comes again: says where it was
    /// and where it is, by the places in its own ranking.
    fn come_again(&mut self, nth: usize) -> (Option<usize>, usize) {
        let (peer, _, before) = self.peers[nth];
        if let Some(before) = before {
            self.candidate(before).open -= 1;
        }
        let after = chosen(self.schedule.choose(&View::new(&self.candidates, Some(peer), 0)));
        self.candidate(after).open += 1;
        self.peers[nth].2 = Some(after);
        (before.map(|it| self.rank(nth, it)), self.rank(nth, after))
    }

    /// A worker goes, and the connections that it has with it.
    fn goes(&mut self, gone: WorkerId) {
        self.candidates.retain(|it| it.worker != gone);
        let theirs = self.peers.iter_mut().filter(|(_, _, at)| *at == Some(gone));
        theirs.for_each(|(_, _, at)| *at = None);
    }

    /// The most that each worker may have while all peers are there.
    fn most(&self) -> usize {
        (self.peers.len() * self.bound).div_ceil(100 * self.candidates.len())
    }

    /// The peers that are not with the worker that they would have of those there are.
    fn away(&self) -> usize {
        let there = |it: &&WorkerId| self.candidates.iter().any(|other| other.worker == **it);
        let own = |ranking: &[WorkerId]| ranking.iter().find(there).copied();
        self.peers.iter().filter(|(_, ranking, at)| *at != own(ranking)).count()
    }

    fn candidate(&mut self, worker: WorkerId) -> &mut Candidate {
        self.candidates.iter_mut().find(|it| it.worker == worker).expect("one of them")
    }

    fn rank(&self, nth: usize, worker: WorkerId) -> usize {
        self.peers[nth].1.iter().position(|it| *it == worker).expect("one of them")
    }
}

/// Peers that differ in what they stick by.
fn crowds() -> impl Strategy<Value = Vec<SocketAddr>> {
    let peer = any::<[u8; 3]>().prop_map(|[a, b, c]| SocketAddr::from(([a, b, c, 1], 80)));
    vec(peer, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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

    /// In whatever order the workers come.
    #[test]
    fn turns_are_of_no_account(
        by in keys(),
        bound in proptest::option::of(bounds()),
        scene in scenes(),
        peer in peers(),
        turns in any::<Index>(),
    ) {
        let schedule = Schedule::Sticky { by, bound };
        let mut later = scene.candidates.clone();
        later.reverse();
        let turns = turns.index(later.len() + 1);
        later.rotate_left(turns);
        let choices = [&scene.candidates, &later]
            .map(|candidates| schedule.choose(&View::new(candidates, Some(peer), scene.seed)));
        prop_assert_eq!(choices[0], choices[1]);
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
        if scene.candidates.len() < 2 {
            return Ok(());
        }
        let schedule = Schedule::Sticky { by, bound: None };
        let mut fewer = scene.candidates.clone();
        let gone = fewer.remove(place.index(fewer.len())).worker;
        for peer in peers {
            let with = schedule.choose(&View::new(&scene.candidates, Some(peer), 0));
            let without = schedule.choose(&View::new(&fewer, Some(peer), 0));
            prop_assert!(with == without || with == Choice::Worker(gone));
        }
    }

    /// With a bound, a peer goes to the first in its ranking that is free. There always is one
    /// while all have room.
    #[test]
    fn a_bound_passes_a_peer_on_to_the_next(
        by in keys(),
        bound in bounds(),
        scene in scenes(),
        peer in peers(),
    ) {
        let free = |it: &WorkerId| is_free(&scene.candidates, bound, *it);
        let first = ranking(by, &scene.candidates, peer).into_iter().find(free);
        let view = View::new(&scene.candidates, Some(peer), scene.seed);
        let choice = Schedule::Sticky { by, bound: Some(bound) }.choose(&view);
        prop_assert_eq!(choice, first.map_or(Choice::Wait, Choice::Worker));
        let all_have_room = scene.candidates.iter().all(|it| it.has_room);
        prop_assert!(first.is_some() || !all_have_room || scene.candidates.is_empty());
    }

    /// With a bound, the peers of a worker that goes move, and those for which the bound is
    /// another matter then: their worker is no longer free, or the one that they come to was not.
    /// No others do; nor, read backwards, when a worker comes.
    #[test]
    fn with_a_bound_only_who_is_displaced_moves_besides(
        by in keys(),
        bound in bounds(),
        scene in scenes(),
        place in any::<Index>(),
        peers in vec(peers(), 1..50),
    ) {
        if scene.candidates.is_empty() {
            return Ok(());
        }
        let schedule = Schedule::Sticky { by, bound: Some(bound) };
        let all = &scene.candidates;
        let mut fewer = all.clone();
        let gone = fewer.remove(place.index(fewer.len())).worker;
        let free = |among: &[Candidate], choice| match choice {
            Choice::Worker(it) => is_free(among, bound, it),
            Choice::Wait => true,
        };
        for peer in peers {
            let choose = |among: &[Candidate]| schedule.choose(&View::new(among, Some(peer), 0));
            let (with, without) = (choose(all), choose(&fewer));
            let displaced = !free(&fewer, with) || !free(all, without);
            let was_there = with == Choice::Worker(gone);
            prop_assert_eq!(with != without, was_there || displaced, "{:?}", (with, without));
            let own = ranking(by, all, peer)[0];
            if own != gone && is_free(all, bound, own) && is_free(&fewer, bound, own) {
                prop_assert_eq!([with, without], [Choice::Worker(own); 2], "its own is free");
            }
        }
    }

    /// When a worker goes and its peers have come again, nobody else has to move: whoever comes
    /// again goes where it was, or to one that it prefers.
    #[test]
    fn with_a_bound_nobody_has_to_move_when_another_goes(
        by in keys(),
        bound in bounds(),
        workers in 2..10_usize,
        peers in crowds(),
        gone in any::<Index>(),
    ) {
        let mut crowd = Crowd::new(by, bound, workers, peers);
        crowd.goes(crowd.candidates[gone.index(workers)].worker);
        let away = crowd.away();
        let (theirs, others): (Vec<_>, Vec<_>) =
            (0..crowd.peers.len()).partition(|nth| crowd.peers[*nth].2.is_none());
        for nth in &theirs {
            crowd.come_again(*nth);
        }
        let mut moved = theirs.len();
        for nth in others {
            let (before, after) = crowd.come_again(nth);
            prop_assert!(Some(after) <= before, "a peer has to move: {before:?} to {after}");
            moved += usize::from(Some(after) != before);
        }
        prop_assert!(moved <= away, "only those that were not with their own");
    }

    /// When a worker comes and all have come again, no more have moved than it may have, than
    /// others had beyond what they may have now, and than were not with their own.
    #[test]
    fn with_a_bound_few_move_when_another_comes(
        by in keys(),
        bound in bounds(),
        workers in 1..10_usize,
        peers in crowds(),
    ) {
        let mut crowd = Crowd::new(by, bound, workers, peers);
        let away = crowd.away();
        let newcomer = idle(workers + 1, 100);
        crowd.candidates.push(newcomer);
        let most = crowd.most();
        let beyond: usize =
            crowd.candidates.iter().map(|it| it.load().saturating_sub(most)).sum();
        let (mut attracted, mut displaced, mut returned) = (0, 0, 0_usize);
        for nth in 0..crowd.peers.len() {
            let (before, after) = crowd.come_again(nth);
            match before.expect("it was somewhere").cmp(&after) {
                std::cmp::Ordering::Less => displaced += 1,
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater if after == crowd.rank(nth, newcomer.worker) => {
                    attracted += 1;
                }
                std::cmp::Ordering::Greater => returned += 1,
            }
        }
        prop_assert!(attracted <= most, "{attracted} to the new one, of {most}");
        prop_assert!(displaced <= beyond, "{displaced} displaced, of {beyond}");
        prop_assert!(returned <= away, "{returned} came back, of {away}");
        prop_assert!(crowd.candidates.iter().all(|it| it.load() <= most), "all have their part");
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
        let mut candidates: Vec<_> = (1..=workers).map(|number| idle(number, 100)).collect();
        for (host, end) in hosts.into_iter().zip(ends) {
            let peer = SocketAddr::from(([10, 0, host, 1], 80));
            let chosen = chosen(schedule.choose(&View::new(&candidates, Some(peer), 0)));
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
}
