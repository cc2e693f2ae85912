//! Connections that are handed over, and what becomes of them.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use cluster_core::primary::Input;
use cluster_core::{Address, HandleName, HandoffId, ListenerId, ToWorker, WorkerId};
use cluster_ipc::Slip;

use super::unflushed::Unflushed;
use super::{Entry, Place, PrimaryHost};
use crate::limits::{FIRST_LOOK, LAST_LOOK};
use crate::link::Flushed;
use crate::passage::{Passage, TakenBack};

/// What is to be known of all passages.
#[derive(Debug, Default)]
pub(super) struct Handing {
    /// Workers for whose passages there is something.
    unsent: Unflushed,
    /// Workers that may soon have no room for more: what they have taken matters.
    pressed: Vec<WorkerId>,
    /// Workers in whose passages something may be; each is marked so.
    occupied: Vec<WorkerId>,
    /// When they are looked at, if nothing else happens.
    pub(super) look_at: Option<Instant>,
    /// How many such looks in a row have found nothing taken.
    looks: u32,
    /// Workers for which the kernel tells when something is taken out; each is marked so.
    watched: Vec<WorkerId>,
    /// Kept for its capacity.
    taken: Vec<HandoffId>,
}

/// The passages of one worker.
#[derive(Debug, Default)]
pub(super) struct Passages {
    table: BTreeMap<ListenerId, Passage>,
    /// It is among those in whose passages something may be.
    occupied: bool,
    /// The kernel tells when something is taken out.
    watched: bool,
}

impl PrimaryHost {
    /// A grant for connections comes with a passage.
    pub(super) fn open_passage(&mut self, worker: WorkerId, message: &ToWorker) -> io::Result<()> {
        let ToWorker::Listen { result: Ok(grant), .. } = message else { return Ok(()) };
        let listener = grant.listener;
        if matches!(grant.address, Address::Udp(_)) || !self.workers.contains_key(&worker) {
            return Ok(());
        }
        let (passage, theirs) = Passage::open()?;
        if let Some(Entry { passages, .. }) = self.workers.get_mut(&worker) {
            if passages.watched {
                // As the others are.
                self.ready.watch_room(Place::Passages(worker), passage.inlet()).unwrap_or_default();
            }
            passages.table.insert(listener, passage);
        }
        self.say_with(worker, &ToWorker::Passage { listener }, Some(theirs));
        Ok(())
    }

    pub(super) fn hand(
        &mut self,
        worker: WorkerId,
        listener: ListenerId,
        slip: Slip,
        connection: HandleName,
    ) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if let Some(passage) = entry.passages.table.get_mut(&listener) {
            if passage.push(slip, connection) {
                self.handing.unsent.note(worker);
            }
            if self.handing.looks > 0 {
                // However long others have been in theirs, it is looked for soon.
                (self.handing.look_at, self.handing.looks) = (None, 0);
            }
        }
    }

    /// Whether something is to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.handing.unsent.is_empty()
    }

    /// Sends what was handed over since the last time; to those that it could not, once more
    /// after a while.
    pub(super) fn send_handed(&mut self, now: Instant) {
        let unsent = self.handing.unsent.take();
        for &worker in &unsent {
            if self.flush_passages(worker) == Flushed::Refused {
                self.try_again(now, worker);
            }
            if self.core.is_pressed(worker) && !self.handing.pressed.contains(&worker) {
                self.handing.pressed.push(worker);
            }
        }
        self.handing.unsent.keep(unsent);
    }

    /// Sends to a worker what there is, as after a while.
    pub(super) fn send_again(&mut self, worker: WorkerId) {
        self.handing.unsent.note(worker);
    }

    fn flush_passages(&mut self, worker: WorkerId) -> Flushed {
        let Some(Entry { passages, .. }) = self.workers.get_mut(&worker) else {
            return Flushed::All;
        };
        let mut flushed = Flushed::All;
        for passage in passages.table.values_mut() {
            if passage.flush(&mut self.handles) == Flushed::Refused {
                flushed = Flushed::Refused;
            }
        }
        if !passages.occupied && passages.are_occupied() {
            passages.occupied = true;
            self.handing.occupied.push(worker);
        }
        flushed
    }

    /// Sees to it that nothing is taken out of a passage without being noticed in time: at once if
    /// something waits for that.
    pub(super) fn mind_passages(&mut self, now: Instant) {
        if self.core.is_crowded() {
            self.watch_passages();
        } else if !self.handing.watched.is_empty() {
            self.unwatch_passages();
        }
        let handing = &mut self.handing;
        if handing.occupied.is_empty() {
            (handing.look_at, handing.looks) = (None, 0);
        } else if handing.look_at.is_none() {
            let patience = FIRST_LOOK * (1 << handing.looks);
            handing.look_at = Some(now + patience.min(LAST_LOOK));
        }
    }

    /// The moment to look has come, if it has.
    pub(super) fn look_when_due(&mut self, now: Instant) {
        if self.handing.look_at.take_if(|at| *at <= now).is_some() {
            self.handing.looks = (self.handing.looks + 1).min(LOOKS_MAX);
            self.look_around(now);
        }
    }

    /// Looks what has been taken by workers that have been given a good part of what they may be.
    /// What the others have taken is worth no call of the system yet.
    pub(super) fn look_where_pressed(&mut self, now: Instant) {
        let mut pressed = std::mem::take(&mut self.handing.pressed);
        for &worker in &pressed {
            self.look(now, worker);
        }
        pressed.retain(|it| self.core.is_pressed(*it));
        self.handing.pressed = pressed;
    }

    /// Looks what has been taken from all passages where something was.
    pub(super) fn look_around(&mut self, now: Instant) {
        let mut occupied = std::mem::take(&mut self.handing.occupied);
        for &worker in &occupied {
            self.look(now, worker);
        }
        occupied.retain(|worker| {
            let passages = self.workers.get_mut(worker).map(|it| &mut it.passages);
            passages.is_some_and(|it| {
                it.occupied = it.are_occupied();
                it.occupied
            })
        });
        self.handing.occupied = occupied;
    }

    /// Tells the core what a worker has taken.
    pub(super) fn look(&mut self, now: Instant, worker: WorkerId) {
        let mut taken = std::mem::take(&mut self.handing.taken);
        let entry = self.workers.get_mut(&worker);
        entry
            .into_iter()
            .flat_map(|it| it.passages.table.values_mut())
            .for_each(|it| it.look(&mut taken));
        if !taken.is_empty() && self.handing.looks > 0 {
            (self.handing.look_at, self.handing.looks) = (None, 0);
        }
        self.tell_taken(now, worker, taken.drain(..));
        self.handing.taken = taken;
    }

    /// A worker shares a listener no longer: what it has not taken goes to others. The core must
    /// know the former before, or it might hand out more to it.
    pub(super) fn take_back(&mut self, now: Instant, worker: WorkerId, listener: ListenerId) {
        let rest = self.close_passage(now, worker, listener);
        self.tell_taken_back(now, worker, rest);
    }

    /// The worker does not take what it was handed: it goes to others, and the passage stays.
    pub(super) fn rescue(&mut self, now: Instant, worker: WorkerId, listener: ListenerId) {
        let entry = self.workers.get_mut(&worker);
        let passage = entry.and_then(|it| it.passages.table.get_mut(&listener));
        let Some(passage) = passage else { return };
        let TakenBack { taken, rest } = passage.take_back_some(&mut self.handles);
        self.tell_taken(now, worker, taken);
        self.tell_taken_back(now, worker, rest);
    }

    /// The worker takes nothing any more. The core takes back by itself what it has not taken when
    /// it learns that the worker is gone.
    pub(super) fn close_passages(&mut self, now: Instant, worker: WorkerId) {
        let table = self.workers.get(&worker).map(|it| &it.passages.table);
        let listeners: Vec<_> = table.into_iter().flat_map(BTreeMap::keys).copied().collect();
        for listener in listeners {
            self.close_passage(now, worker, listener);
        }
    }

    /// Closes a passage. The core is told what the worker has taken; what it has not is here again,
    /// as is said.
    fn close_passage(
        &mut self,
        now: Instant,
        worker: WorkerId,
        listener: ListenerId,
    ) -> Vec<HandoffId> {
        let Some(Entry { passages, .. }) = self.workers.get_mut(&worker) else { return Vec::new() };
        let Some(mut passage) = passages.table.remove(&listener) else { return Vec::new() };
        if passages.occupied && !passages.are_occupied() {
            passages.occupied = false;
            self.handing.occupied.retain(|it| *it != worker);
        }
        self.ready.ignore(Place::Passages(worker), passage.inlet());
        let TakenBack { taken, rest } = passage.take_back(&mut self.handles);
        self.tell_taken(now, worker, taken);
        rest
    }

    fn tell_taken(
        &mut self,
        now: Instant,
        worker: WorkerId,
        taken: impl IntoIterator<Item = HandoffId>,
    ) {
        for handoff in taken {
            self.core.handle_input(now, Input::Taken { worker, handoff });
            self.carry_on(now);
        }
    }

    fn tell_taken_back(&mut self, now: Instant, worker: WorkerId, rest: Vec<HandoffId>) {
        for handoff in rest {
            self.core.handle_input(now, Input::TakenBack { worker, handoff });
            self.carry_on(now);
        }
    }

    /// The kernel tells when something is taken out of those passages where something is.
    fn watch_passages(&mut self) {
        let Self { workers, ready, handing, .. } = self;
        for &worker in &handing.occupied {
            if let Some(Entry { passages, .. }) = workers.get_mut(&worker)
                && !std::mem::replace(&mut passages.watched, true)
            {
                handing.watched.push(worker);
                for passage in passages.table.values() {
                    // Without it, they are looked at when something else happens.
                    let place = Place::Passages(worker);
                    ready.watch_room(place, passage.inlet()).unwrap_or_default();
                }
            }
        }
    }

    fn unwatch_passages(&mut self) {
        let Self { workers, ready, handing, .. } = self;
        for worker in handing.watched.drain(..) {
            if let Some(Entry { passages, .. }) = workers.get_mut(&worker) {
                passages.watched = false;
                passages.table.values().for_each(|it| ready.unwatch(it.inlet()));
            }
        }
    }
}

impl Passages {
    /// Whether something may be in one of them.
    fn are_occupied(&self) -> bool {
        self.table.values().any(Passage::is_occupied)
    }
}

/// The doubled patience reaches [`LAST_LOOK`] by then.
const LOOKS_MAX: u32 = 6;
