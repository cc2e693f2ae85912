//! The rules that need no more than the view: each a pure function of it.

use super::view::{Candidate, Choice, View};
use crate::limits::UNTAKEN_IN_TURN;

/// Who was chosen longest ago and has taken what it was handed, but for [`UNTAKEN_IN_TURN`]; else
/// who has least untaken. A fresh worker lets a part of its turns pass.
pub(super) fn round_robin(view: &View<'_>) -> Choice {
    let in_turn = |(nth, candidate): &(usize, &Candidate)| {
        candidate.share >= 100 || view.random(*nth as u64) % 100 < u64::from(candidate.share)
    };
    let turns = view.ready().enumerate().filter(in_turn).map(|(_, candidate)| candidate);
    choose(idlest(turns).or_else(|| idlest(view.ready())))
}

/// Who has the smallest burden; of equals, who was chosen longest ago.
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

/// The first with no more untaken than one in turn may have, or the first with least.
fn idlest<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Option<&'a Candidate> {
    let mut best: Option<&Candidate> = None;
    for candidate in candidates {
        if candidate.untaken <= UNTAKEN_IN_TURN {
            return Some(candidate);
        }
        if best.is_none_or(|best| candidate.untaken < best.untaken) {
            best = Some(candidate);
        }
    }
    best
}

fn choose(candidate: Option<&Candidate>) -> Choice {
    candidate.map_or(Choice::Wait, |candidate| Choice::Worker(candidate.worker))
}
