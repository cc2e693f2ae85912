//! When connections are accepted: by how many wait, and by what the operating system allows.

use std::time::Instant;

use super::{Action, Event, Primary};
use crate::config::Overload;
use crate::deadlines::Reason;
use crate::id::ListenerId;
use crate::limits::ACCEPT_RETRY;
use crate::listen::OsError;
use crate::listeners::Gate;

impl Primary {
    /// Opens or shuts a listener's gate, by how many connections wait; and all gates when the
    /// budget is used up, or is no longer.
    pub(super) fn gate(&mut self, id: ListenerId) {
        let affordable = self.ledger.len() < self.config.budget();
        if std::mem::replace(&mut self.over_budget, !affordable) == affordable {
            let all: Vec<_> = self.listeners.iter().map(|it| it.id).collect();
            all.into_iter().filter(|other| *other != id).for_each(|other| self.gate(other));
        }
        let sheds = self.config.overload() == Overload::Close;
        let waiting = self.ledger.waiting(id);
        let most = self.waiting_max();
        if waiting >= most && waiting < self.config.waiting() {
            self.crowding.insert(id);
        } else {
            self.crowding.remove(&id);
        }
        let room = (sheds || waiting < most) && affordable;
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let gate = match (listener.gate, room) {
            (Gate::Shut, true) => Gate::Open,
            (Gate::Open, false) => Gate::Shut,
            (gate @ (Gate::Open | Gate::Shut | Gate::Resting), true | false) => gate,
        };
        if listener.address().is_some() {
            listener.gate = gate;
            self.accept(id);
        }
    }

    /// How many may wait for a listener: where there are others, no more than the budget has left,
    /// so that one from which nobody accepts leaves as much to them (Choudhury and Hahne, "Dynamic
    /// queue length thresholds for shared-memory packet switches", 1998).
    pub(super) fn waiting_max(&self) -> usize {
        let most = self.config.waiting();
        match self.listeners.iter().filter(|it| it.has_connections()).nth(1) {
            Some(_) => most.min(self.config.budget().saturating_sub(self.ledger.len())),
            None => most,
        }
    }

    /// Something has left: listeners that left room to others may have some again.
    pub(super) fn ease_crowding(&mut self) {
        let all: Vec<_> = self.crowding.iter().copied().collect();
        all.into_iter().for_each(|id| self.gate(id));
    }

    /// The operating system refuses: rest, and complain once.
    pub(super) fn accept_failed(&mut self, now: Instant, id: ListenerId, error: OsError) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let Some(address) = listener.address().cloned() else { return };
        let complains = !std::mem::replace(&mut listener.complained, true);
        listener.gate = Gate::Resting;
        self.deadlines.set(Reason::AcceptRetry(id), now + ACCEPT_RETRY);
        self.accept(id);
        if complains {
            self.tell(Event::AcceptFailed { address, error });
        }
    }

    pub(super) fn accept_again(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.at_mut(id)
            && listener.gate == Gate::Resting
        {
            listener.gate = Gate::Shut;
            self.deadlines.stop(Reason::AcceptRetry(id));
            self.gate(id);
        }
    }

    /// Accepts from those slots from which the primary is to accept, and from no others.
    pub(super) fn accept(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let open = listener.gate == Gate::Open;
        let changes: Vec<_> = listener
            .slots
            .ids()
            .filter_map(|slot| {
                let it = listener.slots.at(slot)?;
                let accepts = open && listener.accepts_from(it);
                (accepts != it.accepting).then_some((slot, accepts))
            })
            .collect();
        for (slot, accepts) in changes {
            if let Some(it) = self.listeners.at_mut(id).and_then(|it| it.slots.at_mut(slot)) {
                it.accepting = accepts;
            }
            self.act(if accepts {
                Action::ResumeAccept { listener: id, slot }
            } else {
                Action::PauseAccept { listener: id, slot }
            });
        }
    }
}
