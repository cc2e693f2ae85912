//! The view of a cluster from inside a worker.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cluster_sys::worker::Command;
use cluster_sys::{
    Activity, Encoding, Grant, ListenError, ListenSpec, Message, Outbox, Outgoing, Payload,
    Receipt, Reply, SendError, Signal, TrySendError, WorkerFacts, WorkerHost, WorkerId,
};
use serde::Serialize;
use tokio::net::ToSocketAddrs;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Notify, oneshot, watch};

use crate::accept::{Desk, Stage};
use crate::listener::{Shared, TcpListener, UnixListener};
use crate::order::WorkerOrder;
use crate::send;
use crate::tracked::Busy;

/// This process, as a worker of its cluster. Clones are the same worker.
///
/// When the channel to the primary ends without the worker having been asked to leave, the
/// process exits at once with status 0, as in Node: it must not outlive its primary unnoticed.
#[derive(Clone, Debug)]
pub struct ThisWorker {
    inner: Arc<Inner>,
}

impl ThisWorker {
    pub(crate) fn new(host: &WorkerHost, orders: UnboundedSender<WorkerOrder>) -> (Self, Desk) {
        let (sender, inbox) = unbounded_channel();
        let (stage, watched) = watch::channel(Stage::Here);
        let room = Arc::new(Notify::new());
        let inner = Inner {
            orders,
            facts: host.facts().clone(),
            outbox: host.outbox().clone(),
            activity: host.activity().clone(),
            encoding: host.encoding(),
            inbox: Mutex::new(inbox),
            stage: watched,
            room: room.clone(),
        };
        (Self { inner: Arc::new(inner) }, Desk::new(sender, stage, room))
    }

    /// Its number. (Node: `cluster.worker.id`.)
    pub fn id(&self) -> WorkerId {
        self.inner.facts.id()
    }

    /// Whether the channel to the primary is open. (Node: `worker.isConnected()`.)
    pub fn is_connected(&self) -> bool {
        self.inner.facts.is_connected()
    }

    /// Whether this worker leaves because it was asked to or decided to; `None` until that is
    /// known. (Node: `worker.exitedAfterDisconnect`.)
    pub fn exited_after_disconnect(&self) -> Option<bool> {
        self.inner.facts.exited_after_disconnect()
    }

    /// Listens on an address that the workers of this cluster share: the primary accepts, and
    /// hands this worker its part of the connections. Of several addresses, the first one that
    /// can be listened on is taken. Port 0 is the same port in all workers. (Node:
    /// `server.listen`.)
    ///
    /// # Errors
    ///
    /// The error that the primary met ([`io::ErrorKind::AddrInUse`],
    /// [`io::ErrorKind::PermissionDenied`], …); `AddrInUse`, too, if this worker listens there
    /// already; an error of name resolution; [`io::ErrorKind::NotConnected`] if the worker is
    /// leaving.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for address in tokio::net::lookup_host(address).await? {
            let spec = ListenSpec::new(cluster_sys::Address::Tcp(address));
            match self.share(spec).await {
                Ok(shared) => return Ok(TcpListener::shared(shared)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Listens on a unix socket that the workers of this cluster share. A relative path starts
    /// from this process's working directory. The primary makes the file, and removes it when
    /// the last worker has closed the listener.
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen); a file that is there already is `AddrInUse`, and is
    /// never removed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the path is given up again.
    pub async fn listen_unix(&self, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let spec = ListenSpec::new(cluster_sys::unix_address(path.as_ref())?);
        Ok(UnixListener::shared(self.share(spec).await?))
    }

    /// Sends the primary a message, and waits until it is written to the channel. (Node:
    /// `process.send`, whose callback is called at the same moment.)
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded or is too large, or the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message is sent whole or not at all, and it is not known which.
    pub async fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), SendError> {
        let message = self.pack(message).await?;
        send::written(|reply| self.order(message, Some(reply))).await
    }

    /// Queues a message, and waits only while too much is queued. Whether it was written is
    /// not told.
    ///
    /// # Errors
    ///
    /// If the value cannot be encoded or is too large, or the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing is sent.
    pub async fn feed<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), SendError> {
        let message = self.pack(message).await?;
        self.order(message, None)
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if too much is queued; otherwise as for [`feed`](Self::feed).
    pub fn try_send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), TrySendError> {
        let payload = Payload::encode(self.inner.encoding, message).map_err(SendError::from)?;
        let permit = send::try_reserve(&self.inner.outbox, &payload)?;
        Ok(self.order(Outgoing::new(payload, permit), None)?)
    }

    /// The next message of the primary; `None` when the channel is closed and all messages are
    /// received. Messages wait here until they are asked for, and hold up the primary's next
    /// ones. With several receivers, each message goes to one of them.
    ///
    /// # Cancel safety
    ///
    /// No message is lost.
    pub async fn recv(&self) -> Option<Message> {
        let mut inbox = self.inner.inbox.lock().await;
        inbox.recv().await.map(|(message, _receipt)| message)
    }

    /// Leaves gracefully: accepts no more connections, waits for those that are
    /// [tracked](TcpListener::accept_tracked) and for what is [busy](Self::busy), and closes
    /// the channel. The process goes on until it ends by itself. (Node: `worker.disconnect()`.)
    pub fn disconnect(&self) {
        self.command(Command::Disconnect);
    }

    /// Waits until this worker begins to leave, by its own will or because it was asked to:
    /// for graceful-shutdown hooks.
    pub fn disconnecting(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.reached(Stage::Leaving)
    }

    /// Waits until the channel to the primary is closed, which ends the process unless this
    /// worker was leaving.
    pub fn disconnected(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.reached(Stage::Gone)
    }

    /// Something that must end before this worker may leave.
    pub fn busy(&self) -> Busy {
        Busy::new(self.inner.activity.begin())
    }

    /// Ends this process by a signal, once the primary knows that this is no accident. (Node:
    /// `worker.kill(signal)`, where the signal is ignored and the process exits with 0.)
    pub fn kill(&self, signal: Signal) {
        self.command(Command::Kill { signal });
    }

    /// Closes the channel as an accident would: the process exits at once with status 0. (Node:
    /// `process.disconnect()`.)
    pub fn close_channel(&self) {
        self.command(Command::CloseChannel);
    }

    async fn share(&self, spec: ListenSpec) -> io::Result<Shared> {
        let (reply, answer) = oneshot::channel();
        let orders = self.inner.orders.clone();
        let reply = Reply::new(move |result: Result<Grant, ListenError>| {
            // If nobody waits for it any more, it is dropped here, and so closed.
            drop(reply.send(result.map(|grant| Shared::new(grant, orders))));
        });
        self.command(Command::Listen { spec, reply });
        match answer.await {
            Ok(result) => result.map_err(cluster_sys::listen_error),
            Err(_) => Err(cluster_sys::listen_error(ListenError::Disconnected)),
        }
    }

    async fn pack<T: Serialize + ?Sized>(&self, message: &T) -> Result<Outgoing, SendError> {
        let payload = Payload::encode(self.inner.encoding, message)?;
        let permit = send::reserve(&self.inner.outbox, &self.inner.room, &payload).await?;
        Ok(Outgoing::new(payload, permit))
    }

    fn order(
        &self,
        message: Outgoing,
        reply: Option<Reply<Result<(), SendError>>>,
    ) -> Result<(), SendError> {
        let order = WorkerOrder::Host(Command::Send { message, reply });
        self.inner.orders.send(order).map_err(|_| SendError::Disconnected)
    }

    fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut watched = self.inner.stage.clone();
        async move {
            // A driver that is gone has ended with its runtime, and so has everything.
            drop(watched.wait_for(|it| *it >= stage).await);
        }
    }

    /// A driver that is gone has ended with its runtime.
    fn command(&self, command: Command) {
        drop(self.inner.orders.send(WorkerOrder::Host(command)));
    }
}

#[derive(Debug)]
struct Inner {
    orders: UnboundedSender<WorkerOrder>,
    facts: Arc<WorkerFacts>,
    outbox: Arc<Outbox>,
    activity: Activity,
    encoding: Encoding,
    inbox: Mutex<UnboundedReceiver<(Message, Receipt)>>,
    stage: watch::Receiver<Stage>,
    room: Arc<Notify>,
}
