//! A cluster, as its primary has it in hand.

use std::sync::Arc;
use std::time::Duration;

use cluster_sys::board::Interest;
use cluster_sys::primary::Command;
use cluster_sys::{Closed, ForkError, InForce, Reply, Schedule, ScheduleError, Settings, WorkerId};
use event_listener::Event as Notify;
use smol::channel::Sender;

use crate::answer::answer;
use crate::events::Events;
use crate::order::Order;
use crate::worker::Worker;

/// A running cluster. Clones are the same cluster; two clusters in one process do not know of
/// each other.
///
/// When the last clone and the last [`Worker`] are dropped, all workers are asked to leave, and
/// those that do are waited for in the background. If the process ends, so do the workers.
#[derive(Clone, Debug)]
pub struct Cluster {
    orders: Sender<Order>,
    room: Arc<Notify>,
    kill_after: Option<Duration>,
}

impl Cluster {
    pub(crate) fn new(
        orders: Sender<Order>,
        room: Arc<Notify>,
        kill_after: Option<Duration>,
    ) -> Self {
        Self { orders, room, kill_after }
    }

    /// Starts a worker, and tells when its program runs. (Node: `cluster.fork()`.)
    ///
    /// # Errors
    ///
    /// If the program cannot be executed, or the operating system has no more processes,
    /// descriptors or memory. No worker is left behind, and `Event::Error` tells of it, too.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it does not take the request back: the worker is started, and is among
    /// [`workers`](Self::workers).
    pub async fn fork(&self) -> Result<Worker, ForkError> {
        self.fork_with(Settings::new()).await
    }

    /// Starts a worker with changes to the settings that hold for this worker only. (Node:
    /// `cluster.fork(env)`, where only the environment can be changed.)
    ///
    /// # Errors
    ///
    /// As for [`fork`](Self::fork).
    ///
    /// # Cancel safety
    ///
    /// As for [`fork`](Self::fork).
    pub async fn fork_with(&self, settings: Settings) -> Result<Worker, ForkError> {
        let forked = self.ask(|reply| Command::Fork { settings, reply }).await;
        let parts = forked.map_err(|Closed| ForkError::Closed)??;
        Ok(self.worker_of(parts))
    }

    /// Changes the settings of later forks; `Event::Setup` tells what is in force then. (Node:
    /// `cluster.setupPrimary(settings)`. There, each fork emits `setup`, too.)
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    pub fn setup_primary(&self, settings: Settings) -> Result<(), Closed> {
        self.orders.try_send(Order::Host(Command::Setup { settings })).map_err(|_| Closed)
    }

    /// The old name of [`setup_primary`](Self::setup_primary).
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    #[deprecated(note = "it is called `setup_primary` now, as in Node")]
    pub fn setup_master(&self, settings: Settings) -> Result<(), Closed> {
        self.setup_primary(settings)
    }

    /// The settings in force: what the next worker runs. (Node: `cluster.settings`.)
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn settings(&self) -> Result<Arc<InForce>, Closed> {
        self.ask(|reply| Command::Settings { reply }).await
    }

    /// Has another schedule choose from now on, for connections that wait, too. (Node:
    /// `cluster.schedulingPolicy`, which is frozen by the first fork, or by `setupPrimary`.)
    ///
    /// Workers and their connections stay where they are. How the socket of a listener is shared
    /// was decided when the address was first listened on, and stays so until no worker listens
    /// there any more:
    ///
    /// - Connections that the primary hands over still are. Under [`Schedule::None`] and
    ///   [`Schedule::Sharded`] they go round, as under [`Schedule::RoundRobin`].
    /// - Workers that accept for themselves, because of one of these two, go on with that. What the
    ///   primary hands over in their place, or because a worker gave it back, goes where the new
    ///   schedule says.
    /// - An address that is first listened on later is shared as the new schedule has it.
    ///
    /// Under a schedule that counts ([`Schedule::counts`]), connections that were handed over
    /// before count, too, from the moment on when their worker has told how many have ended.
    /// Connections that workers accept for themselves never do.
    ///
    /// ```no_run
    /// # use cluster_smol::{Cluster, ScheduleError};
    /// # async fn example(cluster: Cluster) -> Result<(), ScheduleError> {
    /// use cluster_smol::Schedule;
    ///
    /// // Connections have turned out to last very different times.
    /// cluster.set_schedule(Schedule::LeastLoaded).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the schedule makes no sense ([`Schedule::Sticky`] with a bound of less than an equal
    /// part), in which case nothing has changed, or if the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it does not take the request back.
    pub async fn set_schedule(&self, schedule: Schedule) -> Result<(), ScheduleError> {
        let changed = self.ask(|reply| Command::SetSchedule { schedule, reply }).await;
        Ok(changed.map_err(|Closed| ScheduleError::Closed)??)
    }

    /// The workers there are, in the order of their numbers. A worker is among them from the
    /// fork until it has both disconnected and exited, and not any more when the last of these
    /// two events is seen. (Node: `cluster.workers`.)
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn workers(&self) -> Result<Vec<Worker>, Closed> {
        let workers = self.ask(|reply| Command::Workers { reply }).await?;
        Ok(workers.into_iter().map(|parts| self.worker_of(parts)).collect())
    }

    /// The worker with this number, if it is among [`workers`](Self::workers).
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn worker(&self, id: WorkerId) -> Result<Option<Worker>, Closed> {
        Ok(self.workers().await?.into_iter().find(|worker| worker.id() == id))
    }

    /// News of all workers and of the cluster. The first call gets all there has been since the
    /// start; others begin with what comes next.
    ///
    /// The stream ends when the cluster does. It holds no cluster alive.
    pub fn events(&self) -> Events {
        Events::subscribe(&self.orders, Interest::All)
    }

    /// Asks all workers to leave gracefully, and waits until each one that there is now has
    /// disconnected and exited. (Node: `cluster.disconnect()`, which does not wait for all.)
    ///
    /// Their last events are in the [streams](Self::events) by then, and perhaps not read yet:
    /// to see them all, drop the cluster and read a stream to its end.
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it does not take the request back: the workers leave.
    pub async fn disconnect(&self) -> Result<(), Closed> {
        self.leave(self.kill_after).await
    }

    /// Like [`disconnect`](Self::disconnect), but kills the workers that have not ended within
    /// `limit`.
    ///
    /// # Errors
    ///
    /// If the cluster has ended.
    ///
    /// # Cancel safety
    ///
    /// As for [`disconnect`](Self::disconnect).
    pub async fn disconnect_within(&self, limit: Duration) -> Result<(), Closed> {
        self.leave(Some(limit)).await
    }

    async fn leave(&self, kill_after: Option<Duration>) -> Result<(), Closed> {
        self.ask(|reply| Command::DisconnectAll { kill_after, reply }).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Closed> {
        let (reply, answer) = answer();
        self.orders.try_send(Order::Host(command(reply))).map_err(|_| Closed)?;
        answer.recv().await.map_err(|_| Closed)
    }

    fn worker_of(&self, parts: cluster_sys::WorkerParts) -> Worker {
        Worker::new(parts, self.orders.clone(), self.room.clone(), self.kill_after)
    }
}
