//! Carrying out what the core has decided about listeners.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use cluster_core::primary::Input;
use cluster_core::{Address, ListenSpec, ListenerId, Sharing, SlotId};

use super::actions::os_error;
use super::sockets::Sockets;
use super::{Place, PrimaryHost};
use crate::event::{ClusterError, Event};

impl PrimaryHost {
    pub(super) fn listen(
        &mut self,
        listener: ListenerId,
        spec: &ListenSpec,
        sharing: Sharing,
    ) -> io::Result<Address> {
        let sockets = Sockets::listen(spec, sharing)?;
        let address = sockets.address().clone();
        self.sockets.insert(listener, sockets);
        Ok(address)
    }

    /// If the kernel refuses, it goes on as before; from slots that it should have left alone,
    /// the primary accepts.
    pub(super) fn spread(&mut self, listener: ListenerId, slots: &[SlotId]) {
        let Some(sockets) = self.sockets.get(&listener) else { return };
        if let Err(error) = sockets.spread(slots) {
            let (address, error) = (sockets.address().clone(), os_error(&error));
            let error = ClusterError::Spread { address, error };
            self.publish(Event::Error { worker: None, error });
        }
    }

    /// What cannot be looked at counts as empty: it is looked at again.
    pub(super) fn inspect(&mut self, now: Instant, listener: ListenerId) {
        let Some(sockets) = self.sockets.get(&listener) else { return };
        let queued = sockets.queued().unwrap_or_default();
        self.core.handle_input(now, Input::Inspected { listener, queued });
    }

    /// Watches a listener.
    pub(super) fn resume_accept(&mut self, now: Instant, listener: ListenerId, slot: SlotId) {
        let Some(sockets) = self.sockets.get_mut(&listener) else { return };
        if !sockets.set_accepting(slot, true) {
            return;
        }
        let Some(socket) = sockets.at(slot) else { return };
        let place = Place::Listener(listener, slot);
        let watched =
            socket.stay_nonblocking().and_then(|()| self.ready.watch(place, socket.as_fd()));
        if let Err(error) = watched {
            // No room in the kernel to watch it: that is tried again like accepting itself.
            sockets.set_accepting(slot, false);
            let error = os_error(&error);
            self.core.handle_input(now, Input::AcceptFailed { listener, error });
        }
    }

    /// Watches it no longer: nobody is woken for what is not wanted.
    pub(super) fn pause_accept(&mut self, listener: ListenerId, slot: SlotId) {
        if let Some(sockets) = self.sockets.get_mut(&listener)
            && sockets.set_accepting(slot, false)
            && let Some(socket) = sockets.at(slot)
        {
            self.ready.ignore(Place::Listener(listener, slot), socket.as_fd());
        }
    }

    pub(super) fn close_listener(&mut self, listener: ListenerId) {
        let Some(sockets) = self.sockets.get(&listener) else { return };
        sockets.accepting().into_iter().for_each(|slot| self.pause_accept(listener, slot));
        self.sockets.remove(&listener);
    }
}
