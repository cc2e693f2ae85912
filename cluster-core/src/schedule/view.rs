//! What a schedule sees, and what it may answer.

use std::net::SocketAddr;

use crate::id::WorkerId;

/// One connection that looks for its worker, and the workers that share its listener.
///
/// A view is a value: the same view always gets the same answer from a rule that is a pure
/// function of it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    candidates: &'a [Candidate],
    peer: Option<SocketAddr>,
    seed: u64,
}

impl<'a> View<'a> {
    /// A view of `candidates`, in the order of their turns: who has had fewest comes
    /// first. `seed` is what [`random`](Self::random) numbers are made of.
    pub const fn new(candidates: &'a [Candidate], peer: Option<SocketAddr>, seed: u64) -> Self {
        Self { candidates, peer, seed }
    }

    /// The workers that may be chosen at some time, in the order of their turns. Those that
    /// leave, have stalled or are cordoned off are not among them.
    pub const fn candidates(&self) -> &'a [Candidate] {
        self.candidates
    }

    /// The candidates that have room now, in the order of their turns.
    pub fn ready(&self) -> impl Iterator<Item = &'a Candidate> + Clone + use<'a> {
        self.candidates.iter().filter(|candidate| candidate.has_room)
    }

    /// The other end of the connection, where it has an address.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The `nth` of any number of random numbers that belong to this view.
    pub const fn random(&self, nth: u64) -> u64 {
        mix(self.seed ^ mix(nth))
    }
}

/// A worker as a schedule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which worker.
    pub worker: WorkerId,
    /// How many connections it was handed and has not taken.
    pub untaken: usize,
    /// How many connections it has taken and not finished, as far as it has reported.
    pub open: usize,
    /// Whether it may get one more now: its window is not full.
    pub has_room: bool,
    /// The part of a full share that it is to get, in hundredths, at least 1 and at most 100:
    /// less than 100 while it is fresh and there is a slow start.
    pub share: u32,
}

impl Candidate {
    /// How many connections it has, untaken ones included.
    pub const fn load(&self) -> usize {
        self.untaken + self.open
    }

    /// How loaded it would be with one connection more, by what it should bear: comparable
    /// among candidates only.
    pub const fn burden(&self) -> u64 {
        (self.load() as u64 + 1) * 100 / self.share as u64
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This worker gets it. If it has no room, or is no candidate, the connection waits.
    Worker(WorkerId),
    /// It waits until something changes; connections behind it are not held up.
    Wait,
}

/// Makes a number that looks random from any other (the finaliser of `SplitMix64`: Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(super) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
