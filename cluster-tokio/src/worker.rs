//! A worker, as its primary has it in hand.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cluster_sys::board::Interest;
use cluster_sys::primary::Command;
use cluster_sys::{
    Closed, ExitStatus, Load, NotListening, Outgoing, Pid, Reply, SendError, Signal, TrySendError,
    WorkerId, WorkerParts, WorkerState,
};
use serde::Serialize;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::answer::answer;
use crate::events::Events;
use crate::handle::{Handle, descriptors};
use crate::order::Order;
use crate::send::{self, Mailbox};

/// A handle to a worker. Clones are the same worker. It stays good for questions when the
/// worker is gone.
///
/// What it answers about the worker is as it is now, which may be ahead of an event that is not
/// read yet.
#[derive(Clone, Debug)]
pub struct Worker {
    parts: WorkerParts,
    orders: UnboundedSender<Order>,
    mailbox: Mailbox,
    kill_after: Option<Duration>,
}

impl Worker {
    pub(crate) fn new(
        parts: WorkerParts,
        orders: UnboundedSender<Order>,
        room: Arc<Notify>,
        kill_after: Option<Duration>,
    ) -> Self {
        let mailbox = Mailbox { outbox: parts.outbox.clone(), encoding: parts.encoding, room };
        Self { parts, orders, mailbox, kill_after }
    }

    /// Its number, which no other worker of this cluster ever has. (Node: `worker.id`.)
    pub fn id(&self) -> WorkerId {
        self.parts.facts.id()
    }

    /// The number of its process. `None` until that runs.
    pub fn pid(&self) -> Option<Pid> {
        self.parts.facts.pid()
    }

    /// Where it stands.
    pub fn state(&self) -> WorkerState {
        self.parts.facts.state()
    }

    /// Whether its channel is open. (Node: `worker.isConnected()`.)
    pub fn is_connected(&self) -> bool {
        self.parts.facts.is_connected()
    }

    /// Whether its process has ended. (Node: `worker.isDead()`.)
    pub fn is_dead(&self) -> bool {
        self.parts.facts.is_dead()
    }

    /// Whether it left because it was asked to or said that it leaves; `None` until that is
    /// known. (Node: `worker.exitedAfterDisconnect`.)
    pub fn exited_after_disconnect(&self) -> Option<bool> {
        self.parts.facts.exited_after_disconnect()
    }

    /// Where to write its standard input, if that is piped and was not taken before. (Node:
    /// `worker.process.stdin`.)
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the pipe.
    pub fn take_stdin(&self) -> io::Result<Option<pipe::Sender>> {
        self.parts.pipes.take_stdin().map(pipe::Sender::from_owned_fd).transpose()
    }

    /// Where to read its standard output, if that is piped and was not taken before. (Node:
    /// `worker.process.stdout`.)
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the pipe.
    pub fn take_stdout(&self) -> io::Result<Option<pipe::Receiver>> {
        self.parts.pipes.take_stdout().map(pipe::Receiver::from_owned_fd).transpose()
    }

    /// Where to read its error output, if that is piped and was not taken before. (Node:
    /// `worker.process.stderr`.)
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the pipe.
    pub fn take_stderr(&self) -> io::Result<Option<pipe::Receiver>> {
        self.parts.pipes.take_stderr().map(pipe::Receiver::from_owned_fd).transpose()
    }

    /// News of this worker from now on. If nobody has asked the cluster for events yet, also
    /// what there has been. The stream ends when the worker has disconnected and exited.
    pub fn events(&self) -> Events {
        Events::subscribe(&self.orders, Interest::In(self.parts.facts.clone()))
    }

    /// Sends a message, and waits until it is written to the channel: while the worker does
    /// not take its messages, this waits. The worker has not read it yet. (Node: `worker.send`,
    /// whose callback is called at the same moment.)
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded or is too large, or the worker is disconnected.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message is sent whole or not at all, and it is not known which.
    pub async fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), SendError> {
        let message = self.mailbox.pack(message, Vec::new()).await?;
        send::written(|reply| self.order(message, Some(reply))).await
    }

    /// Queues a message, and waits only while too much is queued. Whether it was written is
    /// not told.
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded or is too large, or the worker is disconnected.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing is sent.
    pub async fn feed<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), SendError> {
        let message = self.mailbox.pack(message, Vec::new()).await?;
        self.order(message, None)
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if too much is queued; otherwise as for [`feed`](Self::feed).
    pub fn try_send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), TrySendError> {
        Ok(self.order(self.mailbox.try_pack(message)?, None)?)
    }

    /// Sends a message with handles, in this order among other messages, and waits until it is
    /// written to the channel. The other side takes them by [`Handle::take_from`].
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), if there are more than 64 handles, and if the runtime
    /// cannot let go of one. The handles are closed then.
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send). Handles that are not sent are closed.
    pub async fn send_handles<T: Serialize + ?Sized>(
        &self,
        message: &T,
        handles: impl IntoIterator<Item = impl Into<Handle>>,
    ) -> Result<(), SendError> {
        let handles = descriptors(handles)?;
        let message = self.mailbox.pack(message, handles).await?;
        send::written(|reply| self.order(message, Some(reply))).await
    }

    /// Sends a message with one handle. See [`send_handles`](Self::send_handles).
    ///
    /// # Errors
    ///
    /// As for [`send_handles`](Self::send_handles).
    ///
    /// # Cancel safety
    ///
    /// As for [`send_handles`](Self::send_handles).
    pub async fn send_handle<T: Serialize + ?Sized>(
        &self,
        message: &T,
        handle: impl Into<Handle>,
    ) -> Result<(), SendError> {
        self.send_handles(message, [handle]).await
    }

    /// Asks it to leave gracefully: to accept no more, to finish what it has begun, and to
    /// close its channel. Asking again changes nothing. (Node: `worker.disconnect()`.)
    pub fn disconnect(&self) {
        self.leave(self.kill_after);
    }

    /// Like [`disconnect`](Self::disconnect), but kills it if it has not ended within `limit`.
    pub fn disconnect_within(&self, limit: Duration) {
        self.leave(Some(limit));
    }

    /// Sends its process a signal, at once. One that has ended needs none. (Node:
    /// `worker.kill(signal)`.)
    pub fn kill(&self, signal: Signal) {
        self.command(Command::Kill { worker: self.id(), signal });
    }

    /// Lets it have no new connections, and go on with those it has; it keeps its listeners. A
    /// connection that it was handed and has not accepted it still may accept. Again, it changes
    /// nothing. (Node has no such thing.)
    pub fn cordon(&self) {
        self.command(Command::Cordon { worker: self.id(), cordoned: true });
    }

    /// Lets it have new connections again, after [`cordon`](Self::cordon).
    pub fn uncordon(&self) {
        self.command(Command::Cordon { worker: self.id(), cordoned: false });
    }

    /// Whether it is cordoned off, as far as the cluster has got.
    pub fn is_cordoned(&self) -> bool {
        self.parts.facts.is_cordoned()
    }

    /// How many connections it has; `None` if it is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn load(&self) -> Option<Load> {
        let (reply, answer) = answer();
        self.command(Command::Load { worker: self.id(), reply });
        answer.await.ok()
    }

    /// Closes the channel without asking it to leave: it takes this for an accident and exits
    /// at once with status 0. (Node: `worker.process.disconnect()`.)
    pub fn close_channel(&self) {
        self.command(Command::CloseChannel { worker: self.id() });
    }

    /// Waits until its application listens for the first time; not at all if it does already.
    ///
    /// # Errors
    ///
    /// If it leaves or ends before.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn listening(&self) -> Result<(), NotListening> {
        let (reply, answer) = answer();
        self.command(Command::AwaitListening { worker: self.id(), reply });
        answer.await.map_err(|_| NotListening)
    }

    /// Waits until its process has ended.
    ///
    /// # Errors
    ///
    /// If the cluster ends first.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn exited(&self) -> Result<ExitStatus, Closed> {
        let (reply, answer) = answer();
        self.command(Command::AwaitExit { worker: self.id(), reply });
        match (answer.await, self.parts.facts.exit_status()) {
            (Ok(status), _) | (Err(_), Some(status)) => Ok(status),
            (Err(_), None) => Err(Closed),
        }
    }

    fn order(
        &self,
        message: Outgoing,
        reply: Option<Reply<Result<(), SendError>>>,
    ) -> Result<(), SendError> {
        let command = Command::Send { worker: self.id(), message, reply };
        self.orders.send(Order::Host(command)).map_err(|_| SendError::Disconnected)
    }

    fn leave(&self, kill_after: Option<Duration>) {
        self.command(Command::Disconnect { worker: self.id(), kill_after });
    }

    /// A cluster that has ended has no worker that could mind.
    fn command(&self, command: Command) {
        drop(self.orders.send(Order::Host(command)));
    }
}
