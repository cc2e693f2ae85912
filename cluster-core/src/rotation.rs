//! The workers that share a listener, in the order of their turns.

use std::collections::VecDeque;

use crate::id::WorkerId;
use crate::limits::TURNS_OWED;

/// Who has had fewest turns comes first; of those who have had as many, who was chosen longest ago.
///
/// So a worker whose turn has passed while it could not take it makes up for it: the turns stay
/// even. But it is never owed more than [`TURNS_OWED`], or it would get nothing but new connections
/// for a while.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    places: VecDeque<Place>,
}

#[derive(Debug)]
struct Place {
    worker: WorkerId,
    turns: u64,
}

impl Rotation {
    /// Adds a worker behind all others.
    pub(crate) fn join(&mut self, worker: WorkerId) {
        if !self.contains(worker) {
            let turns = self.places.back().map_or(0, |last| last.turns);
            self.places.push_back(Place { worker, turns });
        }
    }

    /// Takes a worker out; says whether it was in.
    pub(crate) fn leave(&mut self, worker: WorkerId) -> bool {
        let place = self.place_of(worker);
        place.and_then(|place| self.places.remove(place)).is_some()
    }

    /// A worker was chosen: it has had its turn.
    pub(crate) fn chosen(&mut self, worker: WorkerId) {
        let Some(place) = self.place_of(worker).and_then(|place| self.places.remove(place)) else {
            return;
        };
        let turns = place.turns + 1;
        let least = turns.saturating_sub(TURNS_OWED);
        self.places.iter_mut().take_while(|it| it.turns < least).for_each(|it| it.turns = least);
        // Nearly always at the end.
        let behind = self.places.iter().rev().take_while(|it| it.turns > turns).count();
        self.places.insert(self.places.len() - behind, Place { worker, turns });
    }

    /// A worker that had no turns for a while is owed none of them; it is next.
    pub(crate) fn excused(&mut self, worker: WorkerId) {
        if self.leave(worker) {
            let turns = self.places.front().map_or(0, |first| first.turns);
            self.places.push_front(Place { worker, turns });
        }
    }

    pub(crate) fn contains(&self, worker: WorkerId) -> bool {
        self.place_of(worker).is_some()
    }

    pub(crate) fn has_several(&self) -> bool {
        self.places.len() > 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = WorkerId> {
        self.places.iter().map(|it| it.worker)
    }

    fn place_of(&self, worker: WorkerId) -> Option<usize> {
        self.places.iter().position(|it| it.worker == worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(workers: u32) -> Rotation {
        let mut rotation = Rotation::default();
        (1..=workers).filter_map(WorkerId::new).for_each(|worker| rotation.join(worker));
        rotation
    }

    fn order(rotation: &Rotation) -> Vec<u32> {
        rotation.iter().map(WorkerId::number).collect()
    }

    fn worker(number: u32) -> WorkerId {
        WorkerId::new(number).expect("a number")
    }

    #[test]
    fn a_turn_that_has_passed_is_made_up_for() {
        let mut rotation = rotation(3);
        rotation.chosen(worker(2));
        rotation.chosen(worker(3));
        rotation.chosen(worker(2));
        assert_eq!(order(&rotation), [1, 3, 2]);
        rotation.chosen(worker(1));
        rotation.chosen(worker(3));
        assert_eq!(order(&rotation), [1, 2, 3], "it is owed one more");
        rotation.chosen(worker(1));
        assert_eq!(order(&rotation), [2, 3, 1]);
    }

    #[test]
    fn nobody_is_owed_more_than_a_few() {
        let mut rotation = rotation(2);
        (0..100).for_each(|_| rotation.chosen(worker(2)));
        rotation.excused(worker(1));
        assert_eq!(order(&rotation), [1, 2]);
        rotation.chosen(worker(1));
        assert_eq!(order(&rotation), [2, 1]);
        (0..100).for_each(|_| rotation.chosen(worker(2)));
        for _ in 0..TURNS_OWED {
            assert_eq!(order(&rotation)[0], 1);
            rotation.chosen(worker(1));
        }
        assert_eq!(order(&rotation), [2, 1], "even again");
    }

    #[test]
    fn whoever_joins_is_owed_nothing() {
        let mut rotation = rotation(2);
        (0..7).for_each(|_| {
            let first = rotation.iter().next().expect("there is one");
            rotation.chosen(first);
        });
        rotation.join(worker(3));
        assert_eq!(order(&rotation), [2, 1, 3]);
        assert!(rotation.leave(worker(1)) && !rotation.leave(worker(1)));
        rotation.chosen(worker(1));
        assert_eq!(order(&rotation), [2, 3]);
    }
}
