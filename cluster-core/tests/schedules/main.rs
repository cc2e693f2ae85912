//! What holds of every schedule, whatever there is to see.
//!
//! * [`turns`]: by whose turn it is, and by what workers have;
//! * [`sticky`]: by peers;
//! * [`slow_starts`]: with workers that are to get less than others.

mod scenes;
mod slow_starts;
mod sticky;
mod turns;

use std::num::NonZeroU32;

use cluster_core::limits::STICKY_BOUND_DEFAULT;
use cluster_core::{Choice, Key, Rule, Schedule, View};
use proptest::prelude::*;

use scenes::{scenes, schedules};

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

    /// A rule of one's own is asked, and its answer is the answer.
    #[test]
    fn a_rule_of_ones_own_decides(scene in scenes()) {
        fn last(view: &View<'_>) -> Choice {
            view.candidates().last().map_or(Choice::Wait, |it| Choice::Worker(it.worker))
        }
        let last_one = scene.candidates.last().map_or(Choice::Wait, |it| Choice::Worker(it.worker));
        prop_assert_eq!(Schedule::Custom(Rule(last)).choose(&scene.view()), last_one);
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
