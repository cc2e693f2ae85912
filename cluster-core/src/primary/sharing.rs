//! Listeners: who shares them, and when they open and close.

use super::{Action, Close, Event, Primary};
use crate::address::Address;
use crate::control::{Grant, ToWorker};
use crate::deadlines::Reason;
use crate::id::{ListenerId, RequestId, SlotId, WorkerId};
use crate::life::Fact;
use crate::limits::{LISTENER_DATA_MAX, LISTENERS_PER_WORKER};
use crate::listen::{ListenError, ListenSpec, OsError};
use crate::listeners::{Listener, Match, Place};
use crate::output::Output;
use crate::schedule::Sharing;
use crate::slots::Claim;

impl Primary {
    pub(super) fn wants_to_listen(
        &mut self,
        worker: WorkerId,
        request: RequestId,
        mut spec: ListenSpec,
    ) {
        let data = std::mem::take(&mut spec.data);
        let found = self.may_listen(worker, data.len()).and_then(|()| {
            match self.listeners.find(worker, &spec.address) {
                // The operating system knows whether the first one allows a second.
                Match::Held if spec.reuse_address && matches!(spec.address, Address::Udp(_)) => {
                    Ok(self.open_listener(spec, 0))
                }
                Match::Held => Err(ListenError::AlreadyListening),
                Match::Found(listener) => Ok(listener),
                Match::New { ordinal } => Ok(self.open_listener(spec, ordinal)),
            }
        });
        match found {
            Ok(listener) => {
                self.note_data(listener, data);
                self.share(worker, request, listener);
            }
            Err(error) => self.send(worker, ToWorker::Listen { request, result: Err(error) }),
        }
    }

    pub(super) fn listen_done(&mut self, id: ListenerId, result: Result<Address, OsError>) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let Place::Binding { schedule, waiters } = &mut listener.place else { return };
        let (schedule, waiters) = (*schedule, std::mem::take(waiters));
        match result {
            Ok(address) => {
                let sharing = schedule.sharing(&listener.requested, &address);
                listener.place = Place::Open { address, sharing };
                listener.slots.opened(SlotId(0));
                if waiters.is_empty() {
                    return self.close_if_unwanted(id);
                }
                self.spread(id);
                for (worker, request) in waiters {
                    self.share(worker, request, id);
                }
            }
            Err(error) => {
                // Its place is free again: anyone may retry at once.
                self.listeners.remove(id);
                for (worker, request) in waiters {
                    let result = Err(ListenError::Os(error));
                    self.send(worker, ToWorker::Listen { request, result });
                }
            }
        }
    }

    /// The worker has no share without its descriptors; it may ask again. What it would have been
    /// handed next goes to others.
    pub(super) fn lend_failed(
        &mut self,
        worker: WorkerId,
        request: RequestId,
        id: ListenerId,
        error: OsError,
    ) {
        if self.listeners.at(id).is_some_and(|it| it.rotation.contains(worker)) {
            let mut undone = Vec::new();
            self.outputs.retain(|output| match output {
                Output::Action(Action::Hand { worker: to, listener, handoff, .. })
                    if (*to, *listener) == (worker, id) =>
                {
                    undone.push(*handoff);
                    false
                }
                Output::Action(_) | Output::Event(_) | Output::Wait(_) => true,
            });
            let result = Err(ListenError::Os(error));
            self.send(worker, ToWorker::Listen { request, result });
            self.unshare_one(worker, id);
            undone.into_iter().for_each(|handoff| self.taken_back(worker, handoff));
        }
    }

    pub(super) fn is_listening(&mut self, worker: WorkerId, id: ListenerId) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        if let (true, Some(address)) = (listener.rotation.contains(worker), listener.address()) {
            let address = address.clone();
            if !listener.listening.insert(worker) {
                return;
            }
            if let (Some(account), Some(now)) = (self.ledger.account_mut(worker), self.now) {
                account.listens(now);
            }
            self.learn(worker, Fact::Listening);
            if let Some(listener) = self.listeners.at_mut(id) {
                listener.slots.is_listening(worker);
                self.spread(id);
            }
            self.tell(Event::Listening { worker, address });
        }
    }

    /// `worker` shares and awaits no listener any more.
    pub(super) fn unshare(&mut self, worker: WorkerId) {
        for listener in self.listeners.of(worker) {
            self.unshare_one(worker, listener);
        }
    }

    pub(super) fn unshare_one(&mut self, worker: WorkerId, id: ListenerId) {
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.forget(worker);
            self.close_if_unwanted(id);
            self.spread(id);
            self.dispatch(id);
        }
    }

    fn may_listen(&self, worker: WorkerId, data: usize) -> Result<(), ListenError> {
        let stays =
            self.workers.get(&worker).is_some_and(|life| life.hears() && !life.is_leaving());
        if !stays {
            return Err(ListenError::Leaving);
        }
        if data > LISTENER_DATA_MAX {
            return Err(ListenError::TooMuchData);
        }
        if self.listeners.of(worker).len() >= LISTENERS_PER_WORKER {
            return Err(ListenError::TooMany);
        }
        Ok(())
    }

    fn open_listener(&mut self, spec: ListenSpec, ordinal: u32) -> ListenerId {
        let schedule = self.config.schedule();
        let listener = self.listeners.insert(spec.address.clone(), ordinal, schedule).id;
        let sharing = schedule.sharing(&spec.address, &spec.address);
        self.act(Action::Listen { listener, spec, sharing });
        listener
    }

    /// Answers at once if the listener is bound, or else when it is.
    fn share(&mut self, worker: WorkerId, request: RequestId, id: ListenerId) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        match &mut listener.place {
            Place::Binding { waiters, .. } => waiters.push((worker, request)),
            Place::Open { sharing: Sharing::HandedOver | Sharing::Kernel, .. } => {
                self.grant(worker, request, id, SlotId(0));
            }
            Place::Open { sharing: Sharing::Sharded, .. } => self.share_slot(worker, request, id),
        }
    }

    /// Gives a worker a slot: at once if it is open, or else when it is.
    fn share_slot(&mut self, worker: WorkerId, request: RequestId, id: ListenerId) {
        let cordoned = self.cordoned.contains(&worker);
        let Some(listener) = self.listeners.at_mut(id) else { return };
        match listener.slots.claim(worker, request, cordoned) {
            Claim::Open(slot) => self.grant(worker, request, id, slot),
            Claim::ToOpen(slot) => self.act(Action::OpenSlot { listener: id, slot }),
            Claim::Opening => {}
        }
    }

    /// A worker shares a listener from now on, and is told so.
    pub(super) fn grant(
        &mut self,
        worker: WorkerId,
        request: RequestId,
        id: ListenerId,
        slot: SlotId,
    ) {
        let Some(listener) = self.listeners.at_mut(id) else { return };
        let Place::Open { address, sharing } = &listener.place else { return };
        let (address, sharing) = (address.clone(), *sharing);
        listener.rotation.join(worker);
        self.ledger.open_account(worker, self.config.window());
        let (data, counted) = (listener.data.clone(), self.config.schedule().counts());
        let grant = Grant { listener: id, address, sharing, counted, data };
        let message = ToWorker::Listen { request, result: Ok(grant) };
        match sharing {
            Sharing::HandedOver => self.send(worker, message),
            Sharing::Kernel | Sharing::Sharded => {
                self.act(Action::Lend { worker, message, listener: id, slot });
            }
        }
        self.dispatch(id);
        self.mind_all(id);
    }

    /// The first data that is not empty is everybody's.
    fn note_data(&mut self, id: ListenerId, data: Vec<u8>) {
        if let Some(listener) = self.listeners.at_mut(id)
            && listener.data.is_empty()
        {
            listener.data = data;
        }
    }

    /// Closes a listener that nobody wants, and with it what waits there. One that is not bound
    /// yet is closed when it is.
    fn close_if_unwanted(&mut self, id: ListenerId) {
        if !self.listeners.at(id).is_some_and(Listener::is_unwanted) {
            return;
        }
        self.listeners.remove(id);
        self.deadlines.stop(Reason::AcceptRetry(id));
        self.deadlines.stop(Reason::Check(id));
        self.act(Action::CloseListener { listener: id });
        for connection in self.ledger.abandon(id) {
            self.close(connection.token, Close::NoWorker);
        }
    }
}
