//! The sockets of one listener: one that all share, or one for each worker.
//!
//! Where each worker has a socket of its own, the kernel spreads connections over the slots
//! whose workers accept. The primary keeps every socket open, so that what is queued in a slot
//! outlives its worker; from a slot whose worker does not accept, the primary does.
//!
//! ```text
//!   vacant ──claimed──▶ held ──listening──▶ target ◀──answers── stalled
//!     ▲                  │                    │  └──queue stands──▶ │
//!     └───── released ───┴────────────────────┴─────────────────────┘
//! ```

use crate::id::{RequestId, SlotId, WorkerId};
use crate::limits::{STALLED_CHECKS, STALLED_CHECKS_MAX};

/// All slots, in the order in which they were opened. None is ever taken out: the kernel knows
/// them by their places.
#[derive(Debug)]
pub(crate) struct Slots {
    table: Vec<Slot>,
    /// The slots that the kernel spreads over, as it was last told.
    pub(crate) spread: Vec<SlotId>,
}

/// One socket.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    holder: Option<Holder>,
    state: State,
    /// The primary accepts from it.
    pub(crate) accepting: bool,
}

/// Whether the operating system has the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It was not asked for it, or refused.
    #[default]
    Unopened,
    Opening,
    Open,
}

/// What a worker's claim comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// This slot is open.
    Open(SlotId),
    /// This slot is to be opened.
    ToOpen(SlotId),
    /// The slot is being opened.
    Opening,
}

/// The worker whose socket it is.
#[derive(Debug)]
struct Holder {
    worker: WorkerId,
    /// Its request, until the slot is open.
    request: Option<RequestId>,
    listening: bool,
    cordoned: bool,
    stalled: bool,
    /// How many connections the latest check has found queued.
    queued: u32,
    /// How many checks in a row have found some, and none fewer than the one before.
    standing: u32,
    /// It has answered since it was asked.
    answered: bool,
}

/// What a check has found out about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing new.
    Nothing,
    /// Connections wait: its worker is to say whether it is awake.
    Waiting(WorkerId),
    /// Its worker does not accept; when it is awake, it may say so.
    Stalled(WorkerId),
}

impl Slots {
    /// The first slot alone, which is being opened.
    pub(crate) fn new() -> Self {
        let first = Slot { state: State::Opening, ..Slot::default() };
        Self { table: vec![first], spread: Vec::new() }
    }

    /// A slot that was being opened is open; says whose request waited for it.
    pub(crate) fn opened(&mut self, slot: SlotId) -> Option<(WorkerId, RequestId)> {
        let slot = self.opening(slot)?;
        slot.state = State::Open;
        slot.waiter()
    }

    /// A slot that was being opened could not be; says whose request waited for it.
    pub(crate) fn failed(&mut self, slot: SlotId) -> Option<(WorkerId, RequestId)> {
        let slot = self.opening(slot)?;
        let waiter = slot.waiter();
        (slot.state, slot.holder) = (State::Unopened, None);
        waiter
    }

    /// Finds a slot for `worker`: one that is vacant, best an open one, or else a new one.
    pub(crate) fn claim(&mut self, worker: WorkerId, request: RequestId, cordoned: bool) -> Claim {
        let vacant = |slot: &Slot| slot.holder.is_none();
        let inherited = self.table.iter().position(|slot| vacant(slot) && slot.is_open());
        let place = inherited.or_else(|| self.table.iter().position(vacant)).unwrap_or_else(|| {
            self.table.push(Slot::default());
            self.table.len() - 1
        });
        let slot = &mut self.table[place];
        let id = SlotId(u16::try_from(place).unwrap_or(u16::MAX));
        let mut holder = Holder::new(worker, request, cordoned);
        let claim = match slot.state {
            State::Open => {
                holder.request = None;
                Claim::Open(id)
            }
            State::Opening => Claim::Opening,
            State::Unopened => {
                slot.state = State::Opening;
                Claim::ToOpen(id)
            }
        };
        slot.holder = Some(holder);
        claim
    }

    /// `worker` has a slot no longer. One that could not be opened may be tried again.
    pub(crate) fn release(&mut self, worker: WorkerId) {
        if let Some(slot) = self.of(worker) {
            slot.holder = None;
        }
    }

    pub(crate) fn is_listening(&mut self, worker: WorkerId) {
        if let Some(holder) = self.holder(worker) {
            holder.listening = true;
        }
    }

    /// What was found queued before says nothing about the worker after.
    pub(crate) fn cordon(&mut self, worker: WorkerId, cordoned: bool) {
        if let Some(holder) = self.holder(worker) {
            (holder.cordoned, holder.standing) = (cordoned, 0);
        }
    }

    /// `worker` is awake: what it has not accepted so far it will.
    pub(crate) fn answers(&mut self, worker: WorkerId) {
        if let Some(holder) = self.holder(worker) {
            holder.answered = true;
            if holder.stalled {
                (holder.stalled, holder.standing) = (false, 0);
            }
        }
    }

    /// Takes in how many connections are queued in a slot.
    pub(crate) fn check(&mut self, slot: SlotId, queued: u32) -> Found {
        match self.at_mut(slot).and_then(|slot| slot.holder.as_mut()) {
            Some(holder) if holder.accepts() => holder.check(queued),
            Some(_) | None => Found::Nothing,
        }
    }

    /// The slots whose workers accept. If there is none, the kernel still has to put what comes
    /// somewhere: into the first slot.
    pub(crate) fn targets(&self) -> Vec<SlotId> {
        let targets: Vec<_> =
            self.ids().filter(|slot| self.at(*slot).is_some_and(Slot::is_target)).collect();
        if targets.is_empty() { vec![SlotId(0)] } else { targets }
    }

    /// Whether `worker` waits for its slot to be opened.
    pub(crate) fn awaited_by(&self, worker: WorkerId) -> bool {
        self.waiters().any(|waiter| waiter == worker)
    }

    /// Whether anybody waits for a slot to be opened.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiters().next().is_some()
    }

    /// Whether `worker` has stalled: what it got now would wait with it.
    pub(crate) fn has_stalled(&self, worker: WorkerId) -> bool {
        self.holders().any(|holder| holder.worker == worker && holder.stalled)
    }

    /// Whether any worker accepts from a slot of its own.
    pub(crate) fn has_target(&self) -> bool {
        self.table.iter().any(Slot::is_target)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..u16::try_from(self.table.len()).unwrap_or(u16::MAX)).map(SlotId)
    }

    pub(crate) fn at(&self, slot: SlotId) -> Option<&Slot> {
        self.table.get(usize::from(slot.0))
    }

    pub(crate) fn at_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        self.table.get_mut(usize::from(slot.0))
    }

    fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.table.iter().filter_map(|slot| slot.holder.as_ref())
    }

    fn waiters(&self) -> impl Iterator<Item = WorkerId> {
        self.holders().filter(|holder| holder.request.is_some()).map(|holder| holder.worker)
    }

    fn opening(&mut self, slot: SlotId) -> Option<&mut Slot> {
        self.at_mut(slot).filter(|slot| slot.state == State::Opening)
    }

    fn of(&mut self, worker: WorkerId) -> Option<&mut Slot> {
        let holds = |slot: &&mut Slot| slot.holder.as_ref().is_some_and(|it| it.worker == worker);
        self.table.iter_mut().find(holds)
    }

    fn holder(&mut self, worker: WorkerId) -> Option<&mut Holder> {
        self.of(worker)?.holder.as_mut()
    }
}

impl Slot {
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    fn waiter(&mut self) -> Option<(WorkerId, RequestId)> {
        let holder = self.holder.as_mut()?;
        Some((holder.worker, holder.request.take()?))
    }

    /// Its worker accepts.
    pub(crate) fn is_target(&self) -> bool {
        self.is_open() && self.holder.as_ref().is_some_and(Holder::accepts)
    }
}

impl Holder {
    const fn new(worker: WorkerId, request: RequestId, cordoned: bool) -> Self {
        Self {
            worker,
            request: Some(request),
            listening: false,
            cordoned,
            stalled: false,
            queued: 0,
            standing: 0,
            answered: false,
        }
    }

    const fn accepts(&self) -> bool {
        self.listening && !self.cordoned && !self.stalled
    }

    /// One whose queue stands is asked whether it is awake. It stalls if it does not answer
    /// until a later check, or answers and does not accept for long. A queue that has become
    /// shorter does not stand: nobody else accepts from it.
    fn check(&mut self, queued: u32) -> Found {
        let before = std::mem::replace(&mut self.queued, queued);
        if queued == 0 || queued < before {
            self.standing = 0;
            return Found::Nothing;
        }
        self.standing += 1;
        if self.standing == 1 {
            self.answered = false;
            return Found::Waiting(self.worker);
        }
        let patience = if self.answered { STALLED_CHECKS_MAX } else { STALLED_CHECKS };
        if self.standing < patience {
            return Found::Nothing;
        }
        self.stalled = true;
        Found::Stalled(self.worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u32) -> WorkerId {
        WorkerId::new(number).expect("not 0")
    }

    fn listening(count: u32) -> Slots {
        let mut slots = Slots::new();
        for number in 1..=count {
            slots.claim(worker(number), RequestId(1), false);
            slots.opened(SlotId(u16::try_from(number - 1).expect("fits")));
            slots.is_listening(worker(number));
        }
        slots
    }

    #[test]
    fn a_replacement_inherits_the_slot() {
        let mut slots = listening(3);
        slots.release(worker(2));
        assert_eq!(slots.targets(), [SlotId(0), SlotId(2)]);
        assert_eq!(slots.claim(worker(4), RequestId(1), false), Claim::Open(SlotId(1)));
        assert_eq!(slots.targets(), [SlotId(0), SlotId(2)], "not before it listens");
        slots.is_listening(worker(4));
        assert_eq!(slots.targets(), [SlotId(0), SlotId(1), SlotId(2)]);
        assert_eq!(slots.claim(worker(5), RequestId(1), false), Claim::ToOpen(SlotId(3)));
    }

    #[test]
    fn a_slot_that_is_being_opened_is_for_whoever_claims_it_last() {
        let mut slots = Slots::new();
        assert_eq!(slots.claim(worker(1), RequestId(1), false), Claim::Opening);
        slots.release(worker(1));
        assert_eq!(slots.claim(worker(2), RequestId(7), false), Claim::Opening);
        assert_eq!(slots.opened(SlotId(0)), Some((worker(2), RequestId(7))));
        assert_eq!(slots.claim(worker(3), RequestId(1), false), Claim::ToOpen(SlotId(1)));
        assert_eq!(slots.failed(SlotId(1)), Some((worker(3), RequestId(1))));
        assert_eq!(slots.claim(worker(3), RequestId(2), false), Claim::ToOpen(SlotId(1)));
    }

    #[test]
    fn an_open_slot_is_inherited_before_another_is_opened() {
        let mut slots = listening(1);
        assert_eq!(slots.claim(worker(2), RequestId(1), false), Claim::ToOpen(SlotId(1)));
        assert_eq!(slots.failed(SlotId(1)), Some((worker(2), RequestId(1))));
        assert_eq!(slots.failed(SlotId(1)), None, "it is not being opened");
        slots.release(worker(1));
        assert_eq!(slots.claim(worker(3), RequestId(1), false), Claim::Open(SlotId(0)));
        assert_eq!(slots.claim(worker(4), RequestId(1), false), Claim::ToOpen(SlotId(1)));
        assert!(slots.awaited_by(worker(4)) && !slots.awaited_by(worker(3)));
    }

    #[test]
    fn a_queue_that_moves_does_not_stand() {
        let mut slots = listening(1);
        for _ in 0..STALLED_CHECKS_MAX {
            assert_eq!(slots.check(SlotId(0), 7), Found::Waiting(worker(1)));
            slots.answers(worker(1));
            assert_eq!(slots.check(SlotId(0), 9), Found::Nothing);
            assert_eq!(slots.check(SlotId(0), 5), Found::Nothing);
        }
        assert_eq!(slots.targets(), [SlotId(0)]);
        assert!(slots.has_target());
    }

    #[test]
    fn a_cordon_forgets_what_was_queued() {
        let mut slots = listening(1);
        assert_eq!(slots.check(SlotId(0), 1), Found::Waiting(worker(1)));
        slots.cordon(worker(1), true);
        slots.cordon(worker(1), false);
        assert_eq!(slots.check(SlotId(0), 1), Found::Waiting(worker(1)));
    }

    #[test]
    fn without_a_worker_that_accepts_the_first_slot_gets_all() {
        let mut slots = listening(2);
        slots.cordon(worker(1), true);
        slots.release(worker(2));
        assert_eq!((slots.targets(), slots.has_target()), (vec![SlotId(0)], false));
        slots.cordon(worker(1), false);
        assert!(slots.has_target());
    }

    #[test]
    fn who_does_not_answer_stalls_soon_and_who_does_later() {
        let mut slots = listening(2);
        assert_eq!(slots.check(SlotId(0), 1), Found::Waiting(worker(1)));
        assert_eq!(slots.check(SlotId(0), 1), Found::Stalled(worker(1)));
        assert_eq!(slots.targets(), [SlotId(1)]);
        assert_eq!(slots.check(SlotId(0), 1), Found::Nothing, "it is known");
        slots.answers(worker(1));
        assert_eq!(slots.targets(), [SlotId(0), SlotId(1)]);

        assert_eq!(slots.check(SlotId(1), 9), Found::Waiting(worker(2)));
        slots.answers(worker(2));
        for _ in 2..STALLED_CHECKS_MAX {
            assert_eq!(slots.check(SlotId(1), 9), Found::Nothing);
        }
        assert_eq!(slots.check(SlotId(1), 9), Found::Stalled(worker(2)));
    }

    #[test]
    fn an_empty_queue_is_a_sign_of_life() {
        let mut slots = listening(1);
        assert_eq!(slots.check(SlotId(0), 1), Found::Waiting(worker(1)));
        assert_eq!(slots.check(SlotId(0), 0), Found::Nothing);
        assert_eq!(slots.check(SlotId(0), 1), Found::Waiting(worker(1)));
    }
}
