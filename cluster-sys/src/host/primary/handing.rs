//! Connections that are handed over, and what becomes of them.

use std::io;
use std::time::Instant;

use cluster_core::primary::Input;
use cluster_core::{Address, HandleName, HandoffId, ListenerId, ToWorker, WorkerId};
use cluster_ipc::Slip;

use super::{Entry, Place, PrimaryHost};
use crate::limits::{FIRST_LOOK, LAST_LOOK};
use crate::link::Flushed;
use crate::passage::{Passage, TakenBack};

/// What is to be known of passages.
#[derive(Debug, Default)]
pub(super) struct Handing {
    /// Workers in whose passages something may be.
    occupied: Vec<WorkerId>,
    /// When they are looked at, if nothing else happens.
    pub(super) look_at: Option<Instant>,
    /// How many such looks in a row have found nothing taken.
    looks: u32,
    /// Workers for which the kernel tells when something is taken out.
    watched: Vec<WorkerId>,
    /// Kept for its capacity.
    taken: Vec<HandoffId>,
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
        if self.handing.watched.contains(&worker) {
            // As where they are all watched.
            self.ready.watch_room(Place::Passages(worker), passage.inlet()).unwrap_or_default();
        }
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.passages.insert(listener, passage);
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
        if let Some(passage) = entry.passages.get_mut(&listener) {
            if passage.push(slip, connection) {
                self.unflushed.note(worker);
            }
            if self.handing.looks > 0 {
                // However long others have been in theirs, it is looked for soon.
                (self.handing.look_at, self.handing.looks) = (None, 0);
            }
        }
    }

    pub(super) fn flush_passages(&mut self, worker: WorkerId) -> Flushed {
        let Some(entry) = self.workers.get_mut(&worker) else { return Flushed::All };
        let mut flushed = Flushed::All;
        let mut occupied = false;
        for passage in entry.passages.values_mut() {
            if passage.flush(&mut self.handles) == Flushed::Refused {
                flushed = Flushed::Refused;
            }
            occupied |= passage.is_occupied();
        }
        if occupied && !self.handing.occupied.contains(&worker) {
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
            self.look_around(now, |_, _| true);
        }
    }

    /// Looks what has been taken from the passages of workers that have been given a good part of
    /// what they may be. What the others have taken is worth no call of the system yet.
    pub(super) fn look_where_pressed(&mut self, now: Instant) {
        self.look_around(now, |host, worker| host.core.is_pressed(worker));
    }

    /// Looks what has been taken from passages where something was.
    pub(super) fn look_around(&mut self, now: Instant, wanted: fn(&Self, WorkerId) -> bool) {
        let occupied = std::mem::take(&mut self.handing.occupied);
        for &worker in &occupied {
            if wanted(self, worker) {
                self.look(now, worker);
            }
        }
        // More may have been handed out in between.
        let fresh = std::mem::replace(&mut self.handing.occupied, occupied);
        let workers = &self.workers;
        self.handing.occupied.retain(|it| workers.get(it).is_some_and(Entry::is_occupied));
        self.handing.occupied.extend(fresh);
    }

    /// Tells the core what a worker has taken.
    pub(super) fn look(&mut self, now: Instant, worker: WorkerId) {
        let mut taken = std::mem::take(&mut self.handing.taken);
        let entry = self.workers.get_mut(&worker);
        entry
            .into_iter()
            .flat_map(|it| it.passages.values_mut())
            .for_each(|it| it.look(&mut taken));
        if !taken.is_empty() {
            self.handing.looks = 0;
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
        let Some(passage) = entry.and_then(|it| it.passages.get_mut(&listener)) else { return };
        let TakenBack { taken, rest } = passage.take_back(&mut self.handles);
        self.tell_taken(now, worker, taken);
        self.tell_taken_back(now, worker, rest);
    }

    /// The worker takes nothing any more. The core takes back by itself what it has not taken when
    /// it learns that the worker is gone.
    pub(super) fn close_passages(&mut self, now: Instant, worker: WorkerId) {
        let listeners = self.workers.get(&worker).map(|it| it.passages.keys().copied().collect());
        let listeners: Vec<_> = listeners.unwrap_or_default();
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
        let entry = self.workers.get_mut(&worker);
        let Some(mut passage) = entry.and_then(|it| it.passages.remove(&listener)) else {
            return Vec::new();
        };
        self.ready.ignore(Place::Passages(worker), passage.inlet());
        if self.workers.get(&worker).is_none_or(|it| !it.is_occupied()) {
            self.handing.occupied.retain(|it| *it != worker);
        }
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
            if let Some(entry) = workers.get(&worker)
                && !handing.watched.contains(&worker)
            {
                handing.watched.push(worker);
                for passage in entry.passages.values() {
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
            let entry = workers.get(&worker);
            let passages = entry.into_iter().flat_map(|it| it.passages.values());
            passages.for_each(|it| ready.unwatch(it.inlet()));
        }
    }
}

impl Entry {
    /// Whether something may be in one of its passages.
    fn is_occupied(&self) -> bool {
        self.passages.values().any(Passage::is_occupied)
    }
}

/// The doubled patience reaches [`LAST_LOOK`] by then.
const LOOKS_MAX: u32 = 6;
