//! Carrying out what the core has decided.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use cluster_core::primary::{Action, Event as CoreEvent, Input};
use cluster_core::{ListenerId, OsError, Pid, Signal, SlotId, ToWorker, WorkerId, WorkerState};
use cluster_ipc::{Encoding, Slip};
use nix::errno::Errno;

use super::handing::Passages;
use super::{Birth, Body, Entry, News, Notice, Place, PrimaryHost};
use crate::channel::Channel;
use crate::error::ForkError;
use crate::event::{ClusterError, Event};
use crate::facts::WorkerFacts;
use crate::invitation::{Invitation, VARIABLE};
use crate::limits::SEND_RETRY;
use crate::link::{Flushed, Link};
use crate::outbox::Outbox;
use crate::pipes::Pipes;
use crate::settings::InForce;
use crate::spawn::{CHANNEL_FD, SpawnError, SpawnStage, Spawning};

impl PrimaryHost {
    pub(super) fn carry_out(&mut self, now: Instant, action: Action) {
        match action {
            Action::Spawn { worker } => self.spawn(now, worker),
            Action::Signal { worker, signal } => self.signal(worker, signal),
            Action::Send { worker, message } => self.say(now, worker, &message, None),
            Action::TakeBack { worker, listener } => self.rescue(now, worker, listener),
            Action::Lend { worker, message, listener, slot } => {
                self.say(now, worker, &message, Some((listener, slot)));
            }
            Action::Hand { worker, listener, handoff, connection, peer } => {
                self.hand(worker, listener, Slip { handoff, peer }, connection);
            }
            Action::EndChannel { worker } => {
                if let Some(link) = self.link(worker) {
                    link.end();
                }
            }
            Action::Listen { listener, spec, sharing } => {
                let result = self.listen(listener, &spec, sharing);
                let result = result.map_err(|error| os_error(&error));
                self.core.handle_input(now, Input::ListenDone { listener, result });
            }
            Action::OpenSlot { listener, slot } => {
                let Some(sockets) = self.sockets.get_mut(&listener) else { return };
                let result = sockets.open(slot).map_err(|error| os_error(&error));
                self.core.handle_input(now, Input::SlotOpened { listener, slot, result });
            }
            Action::Spread { listener, slots } => self.spread(listener, &slots),
            Action::Inspect { listener } => self.inspect(now, listener),
            Action::ResumeAccept { listener, slot } => self.resume_accept(now, listener, slot),
            Action::PauseAccept { listener, slot } => self.pause_accept(listener, slot),
            Action::CloseListener { listener } => self.close_listener(listener),
            Action::Close { connection, why: _ } => drop(self.handles.remove(connection)),
        }
    }

    /// Turns the core's events into the application's, and answers behind them whoever waits.
    pub(super) fn tell(&mut self, event: CoreEvent) {
        match event {
            CoreEvent::Fork { worker, pid } => self.forked(worker, pid),
            CoreEvent::SpawnFailed { worker, error } => self.unborn(worker, error),
            CoreEvent::Online { worker } => self.publish_of(worker, Event::Online { worker }),
            CoreEvent::Listening { worker, address } => {
                self.publish_of(worker, Event::Listening { worker, address });
                let entry = self.workers.get_mut(&worker);
                let waiting = entry.map(|it| std::mem::take(&mut it.listens)).unwrap_or_default();
                self.news.extend(waiting.into_iter().map(News::Listening));
            }
            CoreEvent::Draining { worker } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.listens.clear();
                }
                self.publish_of(worker, Event::Draining { worker });
            }
            CoreEvent::Disconnect { worker, exited_after_disconnect } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.listens.clear();
                    entry.facts.disconnected();
                    entry.facts.leaves(exited_after_disconnect);
                }
                self.publish_of(worker, Event::Disconnect { worker, exited_after_disconnect });
            }
            CoreEvent::Exit { worker, pid: _, status, exited_after_disconnect } => {
                let mut waiting = Vec::new();
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.facts.leaves(exited_after_disconnect);
                    entry.facts.exited(status);
                    entry.listens.clear();
                    waiting = std::mem::take(&mut entry.exits);
                }
                let exit = Event::Exit { worker, status, exited_after_disconnect };
                self.publish_of(worker, exit);
                self.news.extend(waiting.into_iter().map(|reply| News::Exited(reply, status)));
            }
            CoreEvent::AcceptFailed { address, error } => {
                let error = ClusterError::Accept { address, error };
                self.publish(Event::Error { worker: None, error });
            }
            CoreEvent::Farewell { id } => {
                self.news.extend(self.farewells.remove(&id).map(News::Farewell));
            }
        }
    }

    /// Writes what was queued since the last time.
    pub(super) fn flush(&mut self, now: Instant) {
        self.write(now);
        if self.core.is_crowded() {
            // Some may have room of which is not known yet.
            self.look_around(now);
            self.write(now);
        }
        self.mind_passages(now);
    }

    fn write(&mut self, now: Instant) {
        let unflushed = self.unflushed.take();
        for &worker in &unflushed {
            let Some(link) = self.workers.get_mut(&worker).and_then(|it| it.link.as_mut()) else {
                continue;
            };
            let refused = link.wants_flush()
                && self.ready.flush(Place::Channel(worker), link) == Flushed::Refused;
            if link.outbox().take_wanted() {
                self.news.push_back(News::Notice(Notice::Room(worker)));
            }
            if refused {
                self.try_again(now, worker);
            }
        }
        self.unflushed.keep(unflushed);
        self.send_handed(now);
    }

    /// The operating system refused to take something for a worker, and will not tell when it
    /// does.
    pub(super) fn try_again(&mut self, now: Instant, worker: WorkerId) {
        let (_, refused) = self.retry.get_or_insert((now + SEND_RETRY, Vec::new()));
        if !refused.contains(&worker) {
            refused.push(worker);
        }
    }

    pub(super) fn link(&mut self, worker: WorkerId) -> Option<&mut Link<cluster_core::ToPrimary>> {
        let link = self.workers.get_mut(&worker)?.link.as_mut()?;
        self.unflushed.note(worker);
        Some(link)
    }

    fn spawn(&mut self, now: Instant, worker: WorkerId) {
        let Some(Birth { settings, reply }) = self.births.remove(&worker) else { return };
        let settings = self.settings.with(&settings);
        let mut entry = Entry::new(worker);
        entry.encoding = settings.encoding;
        entry.program.clone_from(&settings.program.exec);
        entry.forked = Some(reply);
        // A worker is not to inherit the patience.
        self.patience.relax();
        let born = self.start(worker, &settings).and_then(|(spawning, link)| {
            match self.watch_over(worker, &spawning, &link) {
                Ok(()) => Ok((spawning, link)),
                // What nobody looks after does not live.
                Err(error) => {
                    let process = spawning.process();
                    process.kill(Signal::KILL).and_then(|()| process.reap_blocking())?;
                    Err(error.into())
                }
            }
        });
        match born {
            Ok((spawning, link)) => {
                entry.outbox = link.outbox().clone();
                entry.link = Some(link);
                entry.body = Body::Spawning(spawning);
                self.unflushed.note(worker);
                self.workers.insert(worker, entry);
            }
            Err(error) => {
                let os_error = os_error(&error.source);
                entry.body = Body::Gone(Some(Arc::new(error)));
                self.workers.insert(worker, entry);
                self.core.handle_input(now, Input::SpawnFailed { worker, error: os_error });
            }
        }
    }

    fn start(
        &self,
        worker: WorkerId,
        settings: &InForce,
    ) -> Result<(Spawning, Link<cluster_core::ToPrimary>), SpawnError> {
        let (ours, theirs) = Channel::pair()?;
        let invitation = Invitation::text(worker, theirs.as_fd(), CHANNEL_FD, settings.encoding)?;
        let spawning = settings.program.spawn(theirs, &[(VARIABLE, invitation)])?;
        Ok((spawning, Link::new(ours, &self.hello, self.ready.waker().clone())))
    }

    fn watch_over(
        &self,
        worker: WorkerId,
        spawning: &Spawning,
        link: &Link<cluster_core::ToPrimary>,
    ) -> io::Result<()> {
        self.ready.watch(Place::Spawning(worker), spawning.as_fd())?;
        self.ready.watch(Place::Process(worker), spawning.process().as_fd())?;
        self.ready.watch(Place::Channel(worker), link.as_fd())
    }

    fn forked(&mut self, worker: WorkerId, pid: Pid) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        entry.facts.forked(pid);
        let (reply, parts) = (entry.forked.take(), entry.parts());
        self.publish_of(worker, Event::Fork { worker, pid });
        self.news.extend(reply.map(|reply| News::Forked(reply, Ok(parts))));
    }

    /// A worker that never was: nothing of it remains but the event and the answer.
    fn unborn(&mut self, worker: WorkerId, error: OsError) {
        let Some(entry) = self.workers.remove(&worker) else { return };
        let error = match entry.body {
            Body::Gone(Some(error)) => error,
            Body::Gone(None) | Body::Spawning(_) | Body::Running(_) => {
                Arc::new(io::Error::from_raw_os_error(error.0).into())
            }
        };
        let failure = ForkError::Spawn { program: entry.program, error: error.clone() };
        self.publish(Event::Error { worker: Some(worker), error: ClusterError::Spawn(error) });
        self.news.extend(entry.forked.map(|reply| News::Forked(reply, Err(failure))));
    }

    /// Tells something of a worker, of which the facts are brought up to date.
    fn publish_of(&mut self, worker: WorkerId, event: Event) {
        self.take_stock(worker);
        self.publish(event);
    }

    /// Brings a worker's facts up to date, and forgets it when it is over.
    fn take_stock(&mut self, worker: WorkerId) {
        let Some(entry) = self.workers.get(&worker) else { return };
        match self.core.state(worker) {
            Some(state) => {
                entry.facts.stands(state);
                if let Some(left) = self.core.exited_after_disconnect(worker) {
                    entry.facts.leaves(left);
                }
            }
            None => {
                entry.facts.stands(WorkerState::Dead);
                self.workers.remove(&worker);
            }
        }
    }

    fn signal(&mut self, worker: WorkerId, signal: Signal) {
        let process = match self.workers.get(&worker).map(|entry| &entry.body) {
            Some(Body::Spawning(spawning)) => spawning.process(),
            Some(Body::Running(process)) => process,
            Some(Body::Gone(_)) | None => return,
        };
        if let Err(error) = process.kill(signal) {
            let error = ClusterError::Signal { signal, error: os_error(&error) };
            self.publish(Event::Error { worker: Some(worker), error });
        }
    }

    /// Says something, with a copy of a listener's socket where it is to be lent.
    fn say(
        &mut self,
        now: Instant,
        worker: WorkerId,
        message: &ToWorker,
        lent: Option<(ListenerId, SlotId)>,
    ) {
        let socket = lent.and_then(|(listener, slot)| self.sockets.get(&listener)?.at(slot));
        let copy = socket.map(|it| it.as_fd().try_clone_to_owned()).transpose();
        let said = copy.and_then(|copy| {
            self.open_passage(worker, message)?;
            self.say_with(worker, message, copy);
            Ok(())
        });
        if let (Err(error), ToWorker::Listen { request, result: Ok(grant) }) = (said, message) {
            let (request, listener, error) = (*request, grant.listener, os_error(&error));
            let input = Input::LendFailed { worker, request, listener, error };
            self.core.handle_input(now, input);
        }
    }

    pub(super) fn say_with(
        &mut self,
        worker: WorkerId,
        message: &ToWorker,
        handle: Option<OwnedFd>,
    ) {
        let Some(link) = self.link(worker) else { return };
        if let Err(error) = link.send_control(message, handle) {
            // What the core says always fits; if a name of an address does not, the worker
            // must not wait for the answer for ever.
            link.end();
            let error = ClusterError::Channel(Arc::new(error.into()));
            self.publish(Event::Error { worker: Some(worker), error });
        }
    }
}

impl Entry {
    fn new(worker: WorkerId) -> Self {
        Self {
            facts: Arc::new(WorkerFacts::new(worker)),
            outbox: Arc::<Outbox>::default(),
            encoding: Encoding::default(),
            program: PathBuf::new(),
            pipes: Arc::<Pipes>::default(),
            link: None,
            passages: Passages::default(),
            body: Body::Gone(None),
            forked: None,
            listens: Vec::new(),
            exits: Vec::new(),
        }
    }
}

impl From<io::Error> for SpawnError {
    /// What fails beside the spawn itself belongs to its preparation.
    fn from(source: io::Error) -> Self {
        Self { stage: SpawnStage::Prepare, source }
    }
}

/// The number of an error; one that has none is an input that the system would not take.
pub(super) fn os_error(error: &io::Error) -> OsError {
    OsError(error.raw_os_error().unwrap_or(Errno::EINVAL as i32))
}
