//! What there may be to see, and what schedules there are.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use cluster_core::{Candidate, Choice, Key, Schedule, View, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is to be seen of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) seed: u64,
}

impl Scene {
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.candidates, self.peer, self.seed)
    }

    pub(crate) fn ready(&self) -> BTreeSet<WorkerId> {
        self.view().ready().map(|it| it.worker).collect()
    }

    pub(crate) fn candidate(&self, worker: WorkerId) -> &Candidate {
        self.candidates.iter().find(|it| it.worker == worker).expect("one of them")
    }
}

pub(crate) fn worker(number: usize) -> WorkerId {
    WorkerId::new(u32::try_from(number).expect("small")).expect("not 0")
}

/// One that has nothing, and is to get such a part of a full share.
pub(crate) fn idle(number: usize, share: u32) -> Candidate {
    Candidate { worker: worker(number), untaken: 0, open: 0, has_room: true, share }
}

/// The worker that is chosen, where somebody has room.
pub(crate) fn chosen(choice: Choice) -> WorkerId {
    let Choice::Worker(chosen) = choice else { panic!("somebody has room") };
    chosen
}

pub(crate) fn peers() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// A full share, or a part of one.
pub(crate) fn shares() -> impl Strategy<Value = u32> {
    prop_oneof![Just(100_u32), 5..=100_u32]
}

/// Workers with numbers of their own, in any order.
pub(crate) fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..8_usize, 0..20_usize, any::<bool>(), shares());
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

pub(crate) fn scenes() -> impl Strategy<Value = Scene> {
    (candidates(), proptest::option::of(peers()), any::<u64>())
        .prop_map(|(candidates, peer, seed)| Scene { candidates, peer, seed })
}

pub(crate) fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![Just(Key::PeerIp), Just(Key::PeerNetwork)]
}

/// From an equal part to three times that.
pub(crate) fn bounds() -> impl Strategy<Value = NonZeroU32> {
    (100..300_u32).prop_map(|it| NonZeroU32::new(it).expect("not 0"))
}

/// Those to which all workers are the same but for what is to be seen of them.
pub(crate) fn blind_schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::RoundRobin),
        Just(Schedule::None),
        Just(Schedule::Sharded),
        Just(Schedule::LeastLoaded),
        Just(Schedule::PowerOfTwo),
    ]
}

/// All but those of one's own.
pub(crate) fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        5 => blind_schedules(),
        1 => keys().prop_map(|by| Schedule::Sticky { by, bound: None }),
        1 => (keys(), bounds()).prop_map(|(by, bound)| Schedule::Sticky { by, bound: Some(bound) }),
    ]
}
