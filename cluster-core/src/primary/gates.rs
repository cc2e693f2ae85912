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
        let room = (sheds || self.ledger.waiting(id) < self.config.waiting()) && affordable;
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
