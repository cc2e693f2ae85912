//! The view of a cluster from inside a worker.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use cluster_sys::worker::{Command, Share};
use cluster_sys::{
    Activity, Address, ListenError, ListenOptions, ListenSpec, Message, Outgoing, Receipt, Reply,
    SendError, Signal, TrySendError, WorkerFacts, WorkerHost, WorkerId,
};
use event_listener::Event as Notify;
use serde::Serialize;
use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::net::AsyncToSocketAddrs;

use crate::desk::{Desk, Stage, Standing};
use crate::handle::{Handle, descriptors};
use crate::listener::{TcpListener, UnixListener, first};
use crate::send::{self, Mailbox};
use crate::shared::Shared;
use crate::tracked::Busy;
use crate::udp::UdpSocket;

/// This process, as a worker of its cluster. Clones are the same worker.
///
/// When the channel to the primary ends without the worker having been asked to leave, the
/// process exits at once with status 0, as in Node: it must not outlive its primary unnoticed.
#[derive(Clone, Debug)]
pub struct ThisWorker {
    inner: Arc<Inner>,
}

impl ThisWorker {
    pub(crate) fn new(host: &WorkerHost, orders: Sender<Command>) -> (Self, Desk) {
        let (sender, inbox) = unbounded();
        let standing = Arc::new(Standing::new());
        let room = Arc::new(Notify::new());
        let inner = Inner {
            orders,
            facts: host.facts().clone(),
            mailbox: Mailbox {
                outbox: host.outbox().clone(),
                encoding: host.encoding(),
                room: room.clone(),
            },
            activity: host.activity().clone(),
            inbox,
            standing: standing.clone(),
        };
        (Self { inner: Arc::new(inner) }, Desk::new(sender, standing, room))
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

    /// Listens on an address that the workers of this cluster share. Of several addresses, the
    /// first one that can be listened on is taken. Port 0 is the same port in all workers.
    /// (Node: `server.listen`.)
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
    pub async fn listen(&self, address: impl AsyncToSocketAddrs) -> io::Result<TcpListener> {
        self.listen_with(address, &ListenOptions::new()).await
    }

    /// Like [`listen`](Self::listen), with options.
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn listen_with(
        &self,
        address: impl AsyncToSocketAddrs,
        options: &ListenOptions,
    ) -> io::Result<TcpListener> {
        first(address, |address| async move {
            match options.is_own() {
                true => TcpListener::own(options.bind(Address::Tcp(address))?),
                false => {
                    let (shared, _) = self.share(options.spec(Address::Tcp(address))).await?;
                    Ok(TcpListener::shared(shared))
                }
            }
        })
        .await
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
        self.listen_unix_with(path, &ListenOptions::new()).await
    }

    /// Like [`listen_unix`](Self::listen_unix), with options.
    ///
    /// # Errors
    ///
    /// As for [`listen_unix`](Self::listen_unix).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the path is given up again.
    pub async fn listen_unix_with(
        &self,
        path: impl AsRef<Path>,
        options: &ListenOptions,
    ) -> io::Result<UnixListener> {
        let address = cluster_sys::unix_address(path.as_ref())?;
        match options.is_own() {
            true => UnixListener::own(options.bind(address)?),
            false => {
                let (shared, _) = self.share(options.spec(address)).await?;
                Ok(UnixListener::shared(shared))
            }
        }
    }

    /// Listens on a TCP socket that the *primary* has as its descriptor `number`, such as one
    /// of socket activation. (Node: `server.listen({fd})`.)
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen), and if the primary has no such socket.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the share is given up again.
    pub async fn listen_inherited(&self, number: u32) -> io::Result<TcpListener> {
        let (shared, _) = self.inherit(number).await?;
        match shared.address() {
            Address::Tcp(_) => Ok(TcpListener::shared(shared)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Binds a UDP address that the workers of this cluster share, as [`UdpSocket`] says.
    /// (Node: `socket.bind`.)
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind_udp(&self, address: impl AsyncToSocketAddrs) -> io::Result<UdpSocket> {
        self.bind_udp_with(address, &ListenOptions::new()).await
    }

    /// Like [`bind_udp`](Self::bind_udp), with options.
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind_udp_with(
        &self,
        address: impl AsyncToSocketAddrs,
        options: &ListenOptions,
    ) -> io::Result<UdpSocket> {
        first(address, |address| async move {
            match options.is_own() {
                true => UdpSocket::own(options.bind(Address::Udp(address))?),
                false => UdpSocket::shared(self.share(options.spec(Address::Udp(address))).await?),
            }
        })
        .await
    }

    /// A UDP socket that the *primary* has as its descriptor `number`. (Node:
    /// `socket.bind({fd})`.)
    ///
    /// # Errors
    ///
    /// As for [`listen`](Self::listen), and if the primary has no such socket.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the share is given up again.
    pub async fn bind_udp_inherited(&self, number: u32) -> io::Result<UdpSocket> {
        let (shared, socket) = self.inherit(number).await?;
        match shared.address() {
            Address::Udp(_) => UdpSocket::shared((shared, socket)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
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
        let message = self.inner.mailbox.pack(message, Vec::new()).await?;
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
        let message = self.inner.mailbox.pack(message, Vec::new()).await?;
        self.order(message, None)
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if too much is queued; otherwise as for [`feed`](Self::feed).
    pub fn try_send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), TrySendError> {
        Ok(self.order(self.inner.mailbox.try_pack(message)?, None)?)
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
        let message = self.inner.mailbox.pack(message, handles).await?;
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

    /// The next message of the primary; `None` when the channel is closed and all messages are
    /// received. Messages wait here until they are asked for, and hold up the primary's next
    /// ones. With several receivers, each message goes to one of them.
    ///
    /// # Cancel safety
    ///
    /// No message is lost.
    pub async fn recv(&self) -> Option<Message> {
        self.inner.inbox.recv().await.ok().map(|(message, _receipt)| message)
    }

    /// Leaves gracefully: accepts no more connections, waits for those that are
    /// [tracked](TcpListener::accept_tracked) and for what is [busy](Self::busy), and closes
    /// the channel. The process goes on until it ends by itself. (Node: `worker.disconnect()`.)
    pub fn disconnect(&self) {
        self.command(Command::Disconnect);
    }

    /// Waits until this worker begins to leave, by its own will or because it was asked to:
    /// for graceful-shutdown hooks.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn disconnecting(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.reached(Stage::Leaving)
    }

    /// Waits until the channel to the primary is closed, which ends the process unless this
    /// worker was leaving.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
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

    /// Asks for a socket that the primary has, of whatever kind it is.
    async fn inherit(&self, number: u32) -> io::Result<(Box<Shared>, Option<OwnedFd>)> {
        self.share(ListenOptions::new().spec(Address::Inherited(number))).await
    }

    async fn share(&self, spec: ListenSpec) -> io::Result<(Box<Shared>, Option<OwnedFd>)> {
        let (answer, answered) = bounded(1);
        let inner = self.inner.clone();
        let reply = Reply::new(move |result: Result<Share, ListenError>| {
            let shared = result.map_err(cluster_sys::listen_error).and_then(|share| {
                let Inner { orders, standing, .. } = &*inner;
                Shared::new(share, orders.clone(), standing.clone())
            });
            // If nobody waits for it any more, it is dropped here, and so given up.
            drop(answer.try_send(shared));
        });
        self.command(Command::Listen { spec, reply });
        match answered.recv().await {
            Ok(result) => result,
            Err(_) => Err(cluster_sys::listen_error(ListenError::Disconnected)),
        }
    }

    fn order(
        &self,
        message: Outgoing,
        reply: Option<Reply<Result<(), SendError>>>,
    ) -> Result<(), SendError> {
        let order = Command::Send { message, reply };
        self.inner.orders.try_send(order).map_err(|_| SendError::Disconnected)
    }

    fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static + use<> {
        let standing = self.inner.standing.clone();
        async move { standing.reached(stage).await }
    }

    /// A driver that is gone has nothing more to do.
    fn command(&self, command: Command) {
        drop(self.inner.orders.try_send(command));
    }
}

#[derive(Debug)]
struct Inner {
    orders: Sender<Command>,
    facts: Arc<WorkerFacts>,
    mailbox: Mailbox,
    activity: Activity,
    inbox: Receiver<(Message, Receipt)>,
    standing: Arc<Standing>,
}
