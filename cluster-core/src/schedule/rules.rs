//! The rules that need no more than the view: each a pure function of it.

use super::view::{Candidate, Choice, View};

/// Whose turn it is, of those that have room. A fresh worker lets a part of its turns pass.
pub(super) fn round_robin(view: &View<'_>) -> Choice {
    let in_turn = |(nth, candidate): &(usize, &Candidate)| {
        candidate.share >= 100 || view.random(*nth as u64) % 100 < u64::from(candidate.share)
    };
    let mut turns = view.ready().enumerate().filter(in_turn).map(|(_, candidate)| candidate);
    choose(turns.next().or_else(|| view.ready().next()))
}

/// Who has the smallest burden; of equals, whose turn comes first.
pub(super) fn least_loaded(view: &View<'_>) -> Choice {
    choose(view.ready().min_by_key(|candidate| candidate.burden()))
}

/// Who of two that are picked at random has the smaller burden.
pub(super) fn power_of_two(view: &View<'_>) -> Choice {
    let count = view.ready().count() as u64;
    if count < 2 {
        return choose(view.ready().next());
    }
    let one = view.random(0) % count;
    let step = 1 + view.random(1) % (count - 1);
    let at = |place: u64| view.ready().nth(usize::try_from(place).ok()?);
    let pair = [at(one), at((one + step) % count)];
    choose(pair.into_iter().flatten().min_by_key(|candidate| candidate.burden()))
}

fn choose(candidate: Option<&Candidate>) -> Choice {
    candidate.map_or(Choice::Wait, |candidate| Choice::Worker(candidate.worker))
}
