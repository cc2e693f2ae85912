//! Connections on their way to workers.

use std::net::SocketAddr;

use super::{Action, Close, Primary};
use crate::config::Overload;
use crate::control::ToWorker;
use crate::deadlines::Reason;
use crate::id::{HandoffId, ListenerId, WorkerId};
use crate::ledger::Connection;
use crate::listeners::Listener;
use crate::schedule::{Candidate, Choice, View};
use crate::token::HandleToken;

impl Primary {
    pub(super) fn accepted(
        &mut self,
        id: ListenerId,
        token: HandleToken,
        peer: Option<SocketAddr>,
    ) {
        match self.listeners.at_mut(id) {
            Some(listener) if listener.has_connections() => {
                listener.complained = false;
                self.ledger.wait(id, Connection::new(token, peer));
                self.dispatch(id);
                self.shed(id);
            }
            Some(_) | None => self.close(token, Close::NoWorker),
        }
    }

    /// A worker's application never saw a connection that the worker had taken, or accepted
    /// itself. It has had its turn: others come first.
    pub(super) fn returned(
        &mut self,
        worker: WorkerId,
        id: ListenerId,
        token: HandleToken,
        peer: Option<SocketAddr>,
    ) {
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.rotation.chosen(worker);
        }
        self.put_back(id, Connection::new(token, peer));
        self.dispatch(id);
    }

    pub(super) fn taken(&mut self, worker: WorkerId, handoff: HandoffId) {
        let taken = self.ledger.take(worker, handoff, self.now, self.config.window());
        let Some((listener, connection)) = taken else { return };
        self.close(connection.token, Close::Taken);
        self.has_room(listener);
    }

    pub(super) fn taken_back(&mut self, worker: WorkerId, handoff: HandoffId) {
        let Some((listener, connection)) = self.ledger.take_back(worker, handoff) else { return };
        if self.listeners.at(listener).is_some_and(|it| it.rotation.contains(worker)) {
            self.stalls(worker);
        }
        self.put_back(listener, connection);
        self.dispatch(listener);
        self.has_room(listener);
    }

    pub(super) fn finished(&mut self, worker: WorkerId, count: u64) {
        if let Some(account) = self.ledger.account_mut(worker) {
            account.finished(count);
        }
        self.loads_changed();
    }

    /// A worker reports, or does so no longer, as it was told.
    pub(super) fn reported(&mut self, worker: WorkerId) {
        if let Some(account) = self.ledger.account_mut(worker) {
            account.answered();
        }
        self.loads_changed();
    }

    /// Workers report what has ended from now on, or no longer. Those without an account have
    /// nothing that could end, and hear it with their first grant.
    pub(super) fn want_reports(&mut self, ends: bool) {
        let holders: Vec<_> = self.ledger.holders().collect();
        for worker in holders {
            // Of one that hears nothing any more, nothing will be known.
            if let Some(account) = self.ledger.account_mut(worker) {
                account.asked();
            }
            self.send(worker, ToWorker::Report { ends });
        }
    }

    /// A schedule that bounds loads may have something wait for this.
    fn loads_changed(&mut self) {
        if self.config.schedule().counts() {
            self.dispatch_all();
        }
    }

    /// What was in flight to a worker that is gone goes to others. Where the budget was used
    /// up, that may make room for whatever waits.
    pub(super) fn hand_on(&mut self, worker: WorkerId) {
        self.deadlines.stop(Reason::Untaken(worker));
        for (listener, connection) in self.ledger.recover(worker) {
            self.put_back(listener, connection);
        }
        self.dispatch_all();
    }

    /// Hands out what waits, as far as workers have room and the budget lasts.
    pub(super) fn dispatch(&mut self, id: ListenerId) {
        let mut place = 0;
        while place < self.ledger.waiting(id) && self.ledger.in_flight() < self.config.budget() {
            match self.choose(id, place) {
                Chosen::Worker(worker) => self.hand(id, place, worker),
                // It keeps nobody waiting that may be luckier.
                Chosen::Waits => place += 1,
                Chosen::Full => break,
            }
        }
        self.gate(id);
    }

    /// Closes the newest that waits beyond the measure, if the user would have it so. What came
    /// back from workers may be beyond it, too, and stays.
    fn shed(&mut self, id: ListenerId) {
        let waiting = self.ledger.waiting(id);
        if self.config.overload() == Overload::Close
            && waiting > self.waiting_max()
            && let Some(newest) = self.ledger.remove(id, waiting - 1)
        {
            self.close(newest.token, Close::Overload);
        }
    }

    pub(super) fn close(&mut self, connection: HandleToken, why: Close) {
        self.tokens_out += 1;
        self.act(Action::Close { connection, why });
        if self.over_budget && self.ledger.len() < self.config.budget() {
            self.over_budget = false;
            let all: Vec<_> = self.listeners.iter().map(|it| it.id).collect();
            all.into_iter().for_each(|id| self.gate(id));
        } else if !self.crowding.is_empty() {
            self.ease_crowding();
        }
    }

    /// Asks the schedule who gets the connection at a place in the queue.
    fn choose(&mut self, id: ListenerId, place: usize) -> Chosen {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let chosen = self.choose_among(&mut candidates, id, place);
        self.candidates = candidates;
        chosen
    }

    fn choose_among(
        &mut self,
        candidates: &mut Vec<Candidate>,
        id: ListenerId,
        place: usize,
    ) -> Chosen {
        let (Some(listener), Some(connection)) =
            (self.listeners.at_mut(id), self.ledger.at(id, place))
        else {
            return Chosen::Waits;
        };
        let (cordoned, ledger) = (&self.cordoned, &self.ledger);
        let (now, slow_start) = (self.now, self.config.slow_start());
        let counted = self.config.schedule().counts();
        let candidate = |worker| {
            let account = ledger.account(worker).filter(|it| !it.has_stalled())?;
            Some(Candidate {
                worker,
                untaken: account.untaken,
                open: account.open(counted),
                has_room: account.has_room(id),
                share: now.map_or(100, |now| account.share(now, slow_start)),
            })
        };
        let slots = &listener.slots;
        let able = |worker: &WorkerId| !cordoned.contains(worker) && !slots.has_stalled(*worker);
        let mut able = listener.rotation.iter().filter(able).filter_map(candidate);
        let Some(first) = able.find(|it| {
            candidates.push(*it);
            it.has_room
        }) else {
            return Chosen::Full;
        };
        self.chosen += 1;
        if self.config.schedule().takes_turns() && first.share == 100 {
            drop(able);
            listener.rotation.chosen(first.worker);
            return Chosen::Worker(first.worker);
        }
        candidates.extend(able);
        let seed = self.config.seed().wrapping_add(self.chosen);
        match self.config.schedule().choose(&View::new(candidates, connection.peer, seed)) {
            Choice::Worker(worker)
                if candidates.iter().any(|it| it.worker == worker && it.has_room) =>
            {
                // Whoever is fresh and let its turn pass has had it.
                let before = candidates.iter().take_while(|it| it.worker != worker);
                let passed = before.filter(|it| it.has_room && it.share < 100);
                passed.for_each(|it| listener.rotation.chosen(it.worker));
                listener.rotation.chosen(worker);
                Chosen::Worker(worker)
            }
            Choice::Worker(_) | Choice::Wait => Chosen::Waits,
        }
    }

    fn hand(&mut self, id: ListenerId, place: usize, worker: WorkerId) {
        if let Some((handoff, connection)) = self.ledger.hand(id, place, worker, self.now) {
            let (connection, peer) = (connection.token.name(), connection.peer);
            self.act(Action::Hand { worker, listener: id, handoff, connection, peer });
            if self.listeners.at(id).is_some_and(|it| it.rotation.has_several()) {
                self.mind(worker);
            }
            // Its descriptor is freed as soon as it is sent: no need to rest any longer.
            self.accept_again(id);
        }
    }

    /// A connection that nobody has taken goes back to its queue, or is closed if its listener is
    /// gone (or never had connections: a worker may name any).
    fn put_back(&mut self, id: ListenerId, connection: Connection) {
        if self.listeners.at(id).is_some_and(Listener::has_connections) {
            self.ledger.wait_again(id, connection);
        } else {
            self.close(connection.token, Close::NoWorker);
        }
    }

    /// Somebody has room again. The listeners after the one that had the room before come
    /// first, so that none keeps the others waiting.
    fn has_room(&mut self, before: ListenerId) {
        let mut listeners: Vec<_> = self.ledger.awaited().collect();
        let next = listeners.partition_point(|id| *id <= before);
        listeners.rotate_left(next);
        listeners.into_iter().for_each(|id| self.dispatch(id));
    }

    pub(super) fn dispatch_all(&mut self) {
        let all: Vec<_> = self.ledger.awaited().collect();
        all.into_iter().for_each(|id| self.dispatch(id));
    }
}

/// What the schedule's answer comes to.
enum Chosen {
    Worker(WorkerId),
    /// The schedule lets this connection wait, though somebody has room.
    Waits,
    /// No worker has room.
    Full,
}
