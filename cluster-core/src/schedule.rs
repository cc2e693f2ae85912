//! Who gets the next connection.

use std::collections::VecDeque;
use std::str::FromStr;

use crate::address::Address;
use crate::id::WorkerId;

/// A rule by which the primary chooses a worker for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// One after the other. A worker that has not yet taken what it was handed is passed over
    /// while there is one that has; when all have something untaken, the one with least is
    /// next. (Node: `cluster.SCHED_RR`, where a worker has at most one untaken connection.)
    #[default]
    RoundRobin,
    /// The primary does not choose: workers accept from the listening socket themselves, and
    /// the kernel wakes whichever it likes. There is no hop through the primary, and no
    /// fairness. (Node: `cluster.SCHED_NONE`.)
    None,
}

impl Schedule {
    /// How a listener at `address` is shared. Datagrams have no connection that could be handed
    /// over: their sockets are always shared, as in Node.
    pub(crate) const fn sharing(self, address: &Address) -> Sharing {
        match (self, address) {
            (Self::None, _) | (Self::RoundRobin, Address::Udp(_)) => Sharing::Kernel,
            (Self::RoundRobin, Address::Tcp(_) | Address::Unix(_) | Address::Inherited(_)) => {
                Sharing::HandedOver
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = UnknownSchedule;

    /// Takes the names that Node knows: `rr` and `none`.
    fn from_str(name: &str) -> Result<Self, UnknownSchedule> {
        match name {
            "rr" => Ok(Self::RoundRobin),
            "none" => Ok(Self::None),
            _ => Err(UnknownSchedule(name.to_owned())),
        }
    }
}

/// The text names no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown schedule: {0:?} (there are rr and none)")]
pub struct UnknownSchedule(pub String);

/// How workers share a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Sharing {
    /// The primary accepts, and hands connections over.
    HandedOver,
    /// Each worker has the socket itself.
    Kernel,
}

/// The workers that share a listener, in the order of their turns.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    turns: VecDeque<WorkerId>,
}

impl Rotation {
    /// Adds a worker behind all others.
    pub(crate) fn join(&mut self, worker: WorkerId) {
        if !self.contains(worker) {
            self.turns.push_back(worker);
        }
    }

    /// Takes a worker out; says whether it was in.
    pub(crate) fn leave(&mut self, worker: WorkerId) -> bool {
        let before = self.turns.len();
        self.turns.retain(|&other| other != worker);
        self.turns.len() < before
    }

    pub(crate) fn contains(&self, worker: WorkerId) -> bool {
        self.turns.contains(&worker)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = WorkerId> {
        self.turns.iter().copied()
    }

    /// Chooses the worker whose turn it is; its next turn comes after everybody else's.
    ///
    /// `untaken` tells how many connections a worker has not yet taken, or `None` if it must
    /// get no more.
    pub(crate) fn choose(
        &mut self,
        schedule: Schedule,
        untaken: impl Fn(WorkerId) -> Option<usize>,
    ) -> Option<WorkerId> {
        match schedule {
            Schedule::RoundRobin => {}
            // Nothing is accepted that could be handed over.
            Schedule::None => return None,
        }
        let mut best: Option<(usize, usize)> = None;
        for (place, &worker) in self.turns.iter().enumerate() {
            let Some(load) = untaken(worker) else { continue };
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, place));
            }
            if load == 0 {
                break;
            }
        }
        let worker = self.turns.remove(best?.1)?;
        self.turns.push_back(worker);
        Some(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u32) -> WorkerId {
        WorkerId::new(number).expect("not 0")
    }

    #[test]
    fn idle_workers_take_turns() {
        let mut rotation = Rotation::default();
        (1..=3).for_each(|number| rotation.join(worker(number)));
        let order: Vec<_> = (0..7)
            .filter_map(|_| rotation.choose(Schedule::RoundRobin, |_| Some(0)))
            .map(WorkerId::number)
            .collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn the_one_with_least_untaken_is_next_and_the_full_one_is_left_out() {
        let mut rotation = Rotation::default();
        (1..=3).for_each(|number| rotation.join(worker(number)));
        let untaken = |worker: WorkerId| [None, Some(2), Some(1)][worker.number() as usize - 1];
        let chosen = rotation.choose(Schedule::RoundRobin, untaken);
        assert_eq!(chosen, Some(worker(3)));
        assert_eq!(rotation.choose(Schedule::RoundRobin, |_| None), None);
    }
}
