//! Carrying out what a worker's core has decided.

use std::os::fd::AsFd;
use std::time::Instant;

use cluster_core::agent::{Action, Event as News};
use cluster_core::{HandleToken, ListenerId, ToPrimary, WorkerState};

use super::{End, Notice, Phase, Place, Share, WorkerHost};
use crate::arrivals::Arrivals;
use crate::claim::Claims;
use crate::limits::SEND_RETRY;
use crate::link::Flushed;
use crate::signal;

impl WorkerHost {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Send { message, handle } => self.say(&message, handle),
            Action::AdoptPassage { listener, passage } => self.adopt(0, listener, passage),
            Action::Adopt { listener, socket } => self.adopt(1, listener, socket),
            Action::Close { connection } => drop(self.handles.remove(connection)),
            Action::WatchIdle => {
                self.phase = Phase::Leaving { idle: false };
                self.activity.watch();
            }
            Action::CloseChannel => self.phase = Phase::Closing(None),
            Action::Exit { code } => self.phase = Phase::Closing(Some(End::Exit { code })),
            Action::Raise { signal } => self.phase = Phase::Closing(Some(End::Raise { signal })),
        }
    }

    /// Turns the core's news into the application's.
    pub(super) fn tell(&mut self, news: News) {
        let notice = match news {
            News::Listening { request, listener, address, data } => {
                self.facts.stands(WorkerState::Listening);
                let adopted = std::mem::take(&mut self.adopted);
                let adopted = adopted.map(|it| it.filter(|(of, _)| *of == listener));
                let [passage, socket] = adopted.map(|it| it.map(|(_, handle)| handle));
                if let Some(reply) = self.requests.remove(&request) {
                    let (activity, returns) = (self.activity.clone(), self.returner.clone());
                    let claims = Claims::new(listener, activity, returns);
                    let arrivals = passage.map(|it| Arrivals::new(it, claims.clone()));
                    reply.send(Ok(Share { listener, address, arrivals, socket, data, claims }));
                }
                return;
            }
            News::ListenFailed { request, error } => {
                if let Some(reply) = self.requests.remove(&request) {
                    reply.send(Err(error));
                }
                return;
            }
            News::Closed { listener } => Notice::Closed(listener),
            News::Cordoned { cordoned } => {
                self.facts.cordoned(cordoned);
                Notice::Cordoned(cordoned)
            }
            News::Draining => {
                self.facts.stands(WorkerState::Draining);
                self.facts.leaves(true);
                Notice::Draining
            }
            News::Disconnect => {
                self.facts.stands(WorkerState::Disconnected);
                self.facts.disconnected();
                Notice::Disconnect
            }
        };
        self.events.push_back(notice);
    }

    /// Writes what there is to write, and comes to the end if that was the last.
    pub(super) fn flush(&mut self, now: Option<Instant>) {
        let ready = &mut self.ready;
        let flushed = self.link.as_mut().map_or(Flushed::All, |link| match link.wants_flush() {
            true => ready.flush(Place::Channel, link),
            false => Flushed::All,
        });
        if flushed == Flushed::Refused {
            self.retry = self.retry.or(now.map(|now| now + SEND_RETRY));
        }
        if self.outbox.take_wanted() {
            self.events.push_back(Notice::Room);
        }
        if let (Phase::Closing(end), Flushed::All) = (self.phase, flushed) {
            self.close_link();
            self.end(end);
        }
    }

    pub(super) fn close_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.ready.ignore(Place::Channel, link.as_fd());
            drop(link);
            self.events.push_back(Notice::Room);
        }
    }

    fn adopt(&mut self, what: usize, listener: ListenerId, handle: HandleToken) {
        self.adopted[what] = self.handles.remove(handle).map(|handle| (listener, handle));
    }

    fn say(&mut self, message: &ToPrimary, handle: Option<HandleToken>) {
        let handle = handle.and_then(|token| self.handles.remove(token));
        if let Some(link) = &mut self.link {
            // What the core says always fits, but for a name of an address that is too long.
            // That is told at once, since no answer will come.
            if link.send_control(message, handle).is_err()
                && let ToPrimary::Listen { request, .. } = message
                && let Some(reply) = self.requests.remove(request)
            {
                reply.send(Err(cluster_core::ListenError::Os(cluster_core::OsError(
                    nix::libc::ENAMETOOLONG,
                ))));
            }
        }
    }

    fn end(&mut self, end: Option<End>) {
        match end {
            None => {}
            Some(End::Exit { code }) => std::process::exit(code),
            Some(End::Raise { signal }) => {
                self.phase = Phase::Closing(None);
                // A signal that this system does not have ends nothing, as kill(2) would not.
                signal::raise(signal).unwrap_or_default();
            }
        }
    }
}
