//! One peer, one worker: rendezvous hashing, with bounded loads.
//!
//! Each worker has a weight for each peer, made of both; the heaviest has the peer. When a worker
//! comes or goes, only peers that it gets or had move (Thaler and Ravishankar, "Using
//! name-based mappings to increase hit rates", 1998). With a bound, a worker that has more than
//! its part of all connections passes new ones on to the next heaviest (Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent hashing with bounded loads", 2018).

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::rules;
use super::view::{Candidate, Choice, View, mix};
use crate::id::WorkerId;

/// What about a peer keeps it with its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// Its IP address. (Several clients behind one address go to one worker.)
    PeerIp,
    /// Its network: the first 24 bits of an IPv4 address, the first 64 of an IPv6 address, for
    /// clients whose address changes within it.
    PeerNetwork,
}

impl Key {
    fn of(self, peer: SocketAddr) -> u64 {
        match (self, peer.ip().to_canonical()) {
            (Self::PeerIp, IpAddr::V4(ip)) => mix(u64::from(u32::from(ip))),
            (Self::PeerNetwork, IpAddr::V4(ip)) => mix(u64::from(u32::from(ip) >> 8)),
            (Self::PeerIp, IpAddr::V6(ip)) => {
                let bits = u128::from(ip);
                mix(mix((bits >> 64) as u64) ^ bits as u64)
            }
            (Self::PeerNetwork, IpAddr::V6(ip)) => mix((u128::from(ip) >> 64) as u64),
        }
    }
}

/// The peer's worker; where the peer has no address, whose turn it is.
pub(super) fn sticky(view: &View<'_>, key: Key, bound: Option<NonZeroU32>) -> Choice {
    let Some(peer) = view.peer() else { return rules::round_robin(view) };
    let key = key.of(peer);
    let weight = |candidate: &&Candidate| weight(key, candidate.worker);
    let Some(bound) = bound else {
        let favourite = view.candidates().iter().max_by_key(weight);
        return favourite.map_or(Choice::Wait, |it| Choice::Worker(it.worker));
    };
    let most = most_of(view, bound);
    let light = view.ready().filter(|candidate| candidate.load() < most);
    light.max_by_key(weight).map_or(Choice::Wait, |it| Choice::Worker(it.worker))
}

/// How many connections a worker may have: `bound` hundredths of an equal part, the new
/// connection included, rounded up. There always is one that has less.
fn most_of(view: &View<'_>, bound: NonZeroU32) -> usize {
    let all = view.candidates().iter().map(|it| it.load() as u64).sum::<u64>() + 1;
    let parts = 100 * (view.candidates().len() as u64).max(1);
    usize::try_from((all * u64::from(bound.get())).div_ceil(parts)).unwrap_or(usize::MAX)
}

fn weight(key: u64, worker: WorkerId) -> u64 {
    mix(key ^ mix(u64::from(worker.number())))
}
