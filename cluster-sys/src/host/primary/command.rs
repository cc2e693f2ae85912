//! What an application may want of a primary's host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_core::{ConfigError, ExitStatus, Schedule, Signal, WorkerId, WorkerState};

use super::{Birth, Entry, PrimaryHost, WorkerParts};
use crate::error::{ForkError, SendError};
use crate::event::Event;
use crate::load::Load;
use crate::message::Outgoing;
use crate::reply::Reply;
use crate::settings::{InForce, Settings};

/// A wish of the application. Wishes about workers that are gone do nothing, and are answered
/// as such where there is an answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Start a worker.
    Fork {
        /// Changes to the settings in force, for this worker only.
        settings: Settings,
        /// Hears when its program runs, or that it cannot.
        reply: Reply<Result<WorkerParts, ForkError>>,
    },
    /// Change the settings of later forks.
    Setup {
        /// The changes.
        settings: Settings,
    },
    /// Tell the settings in force.
    Settings {
        /// Hears them.
        reply: Reply<Arc<InForce>>,
    },
    /// Ask a worker to leave.
    Disconnect {
        /// Which worker.
        worker: WorkerId,
        /// When to kill it if it has not ended.
        kill_after: Option<Duration>,
    },
    /// Ask all workers to leave.
    DisconnectAll {
        /// When to kill those that have not ended.
        kill_after: Option<Duration>,
        /// Hears when all of them are gone.
        reply: Reply<()>,
    },
    /// Send a signal to a worker's process.
    Kill {
        /// Which worker.
        worker: WorkerId,
        /// Which signal.
        signal: Signal,
    },
    /// Let a worker have no new connections, or let it have some again.
    Cordon {
        /// Which worker.
        worker: WorkerId,
        /// Whether it gets none.
        cordoned: bool,
    },
    /// Have another schedule choose from now on.
    SetSchedule {
        /// Which one.
        schedule: Schedule,
        /// Hears that it is in force, or why it cannot be.
        reply: Reply<Result<(), ConfigError>>,
    },
    /// Close the channel to a worker, which ends it.
    CloseChannel {
        /// Which worker.
        worker: WorkerId,
    },
    /// Send a message to a worker.
    Send {
        /// Which worker.
        worker: WorkerId,
        /// What to send.
        message: Outgoing,
        /// Hears when it is written.
        reply: Option<Reply<Result<(), SendError>>>,
    },
    /// Tell when a worker's application has its first listener, at once if it has. Dropped if it
    /// will have none, or there is no such worker.
    AwaitListening {
        /// Which worker.
        worker: WorkerId,
        /// Hears it.
        reply: Reply<()>,
    },
    /// Tell when a worker's process has ended. Dropped if there is no such worker.
    AwaitExit {
        /// Which worker.
        worker: WorkerId,
        /// Hears how it ended.
        reply: Reply<ExitStatus>,
    },
    /// Tell how many connections a worker has. Dropped if there is no such worker.
    Load {
        /// Which worker.
        worker: WorkerId,
        /// Hears it.
        reply: Reply<Load>,
    },
    /// Tell which workers there are, in the order of their numbers.
    Workers {
        /// Hears it.
        reply: Reply<Vec<WorkerParts>>,
    },
}

impl PrimaryHost {
    pub(super) fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Fork { settings, reply } => self.fork(settings, reply),
            Command::Setup { settings } => self.setup(&settings),
            Command::Settings { reply } => reply.send(self.settings.clone()),
            Command::Disconnect { worker, kill_after } => {
                // A worker that is gone has left already.
                self.core.disconnect(now, worker, kill_after).unwrap_or_default();
            }
            Command::DisconnectAll { kill_after, reply } => {
                let farewell = self.core.disconnect_all(now, kill_after);
                self.farewells.insert(farewell, reply);
            }
            // A worker that is gone needs no signal, gets no connections and has no channel.
            Command::Kill { worker, signal } => {
                self.core.kill(worker, signal).unwrap_or_default();
            }
            Command::Cordon { worker, cordoned } => {
                let core = &mut self.core;
                let done = if cordoned { core.cordon(worker) } else { core.uncordon(worker) };
                done.unwrap_or_default();
                if let Some(entry) = self.workers.get(&worker) {
                    entry.facts.cordoned(cordoned);
                }
            }
            Command::SetSchedule { schedule, reply } => {
                reply.send(self.core.set_schedule(now, schedule));
            }
            Command::CloseChannel { worker } => {
                self.core.close_channel(worker).unwrap_or_default();
            }
            Command::Send { worker, message, reply } => self.send(worker, message, reply),
            Command::AwaitListening { worker, reply } => self.await_listening(worker, reply),
            Command::AwaitExit { worker, reply } => self.await_exit(worker, reply),
            Command::Load { worker, reply } => self.load(now, worker, reply),
            Command::Workers { reply } => {
                let parts = |worker| self.workers.get(&worker).map(Entry::parts);
                reply.send(self.core.workers().filter_map(parts).collect());
            }
        }
    }

    fn fork(&mut self, settings: Settings, reply: Reply<Result<WorkerParts, ForkError>>) {
        match self.core.fork() {
            Ok(worker) => drop(self.births.insert(worker, Birth { settings, reply })),
            Err(error) => reply.send(Err(error.into())),
        }
    }

    fn load(&mut self, now: Instant, worker: WorkerId, reply: Reply<Load>) {
        self.look(now, worker);
        if self.workers.contains_key(&worker) {
            let (untaken, open) = self.core.load(worker);
            reply.send(Load { untaken, open });
        }
    }

    fn setup(&mut self, changes: &Settings) {
        self.settings = Arc::new(self.settings.with(changes));
        self.publish(Event::Setup { settings: self.settings.clone() });
    }

    fn send(
        &mut self,
        worker: WorkerId,
        message: Outgoing,
        reply: Option<Reply<Result<(), SendError>>>,
    ) {
        match (self.workers.get_mut(&worker).and_then(|entry| entry.link.as_mut()), reply) {
            (Some(link), reply) => {
                link.send_user(message, reply);
                self.unflushed.note(worker);
            }
            (None, Some(reply)) => reply.send(Err(SendError::Disconnected)),
            (None, None) => {}
        }
    }

    fn await_listening(&mut self, worker: WorkerId, reply: Reply<()>) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        match self.core.state(worker) {
            Some(WorkerState::Forked | WorkerState::Online) => entry.listens.push(reply),
            Some(WorkerState::Listening) => reply.send(()),
            // It leaves, or has left.
            _ => {}
        }
    }

    fn await_exit(&mut self, worker: WorkerId, reply: Reply<ExitStatus>) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        match entry.facts.exit_status() {
            Some(status) => reply.send(status),
            None => entry.exits.push(reply),
        }
    }
}

impl Entry {
    pub(super) fn parts(&self) -> WorkerParts {
        WorkerParts {
            facts: self.facts.clone(),
            outbox: self.outbox.clone(),
            encoding: self.encoding,
            pipes: self.pipes.clone(),
        }
    }
}
