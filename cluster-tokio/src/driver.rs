//! The drivers: each awaits, on behalf of a host, whatever comes first of an order of the
//! application, readiness, and a deadline.

use std::future::{pending, poll_fn};
use std::io;
use std::iter::{from_fn, once};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use cluster_sys::board::Board;
use cluster_sys::primary::{Command, Notice};
use cluster_sys::{PrimaryHost, Progress, Reply, WorkerHost, worker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time;

use crate::desk::Desk;
use crate::events::Stream;
use crate::order::Order;
use crate::this_worker::ThisWorker;

/// Starts a primary's driver on this runtime. The notification is for whoever waits for room
/// in a worker's outbox.
pub(crate) fn start_primary(
    host: PrimaryHost,
) -> io::Result<(UnboundedSender<Order>, Arc<Notify>)> {
    let ready = watch_fd(host.poll_fd().try_clone_to_owned()?)?;
    let (orders, wanted) = unbounded_channel();
    let room = Arc::new(Notify::new());
    tokio::spawn(drive_primary(host, ready, wanted, room.clone()));
    Ok((orders, room))
}

/// Starts a worker's driver on this runtime.
pub(crate) fn start_worker(host: WorkerHost) -> io::Result<ThisWorker> {
    let ready = watch_fd(host.poll_fd().try_clone_to_owned()?)?;
    let (orders, wanted) = unbounded_channel();
    let (this_worker, desk) = ThisWorker::new(&host, orders);
    tokio::spawn(drive_worker(host, ready, wanted, desk));
    Ok(this_worker)
}

async fn drive_primary(
    mut host: PrimaryHost,
    ready: AsyncFd<OwnedFd>,
    mut orders: UnboundedReceiver<Order>,
    room: Arc<Notify>,
) {
    let mut board = Board::new();
    let mut batch = Vec::new();
    let mut wanted = true;
    while wanted || host.has_workers() {
        publish(&mut host, &mut board, &room);
        tokio::select! {
            count = orders.recv_many(&mut batch, ORDERS_PER_TURN), if wanted => {
                wanted = count > 0;
                if !wanted {
                    host.handle_command(now(), farewell());
                }
                let mut batch = batch.drain(..).peekable();
                while let Some(order) = batch.next() {
                    match order {
                        Order::Host(command) => {
                            let more = from_fn(|| Order::next_command(&mut batch));
                            host.handle_commands(now(), once(command).chain(more));
                        }
                        Order::Subscribe(subscriber) => {
                            publish(&mut host, &mut board, &room);
                            board.subscribe(subscriber);
                        }
                    }
                }
            }
            Ok(mut readiness) = poll_fn(|context| ready.poll_read_ready(context)) => {
                if host.handle_ready(now()) == Progress::Drained {
                    readiness.clear_ready();
                }
            }
            () = until(host.poll_timeout()) => host.handle_timeout(now()),
        }
    }
    publish(&mut host, &mut board, &room);
}

fn publish(host: &mut PrimaryHost, board: &mut Board<Stream>, room: &Notify) {
    while let Some(notice) = host.poll_event() {
        match notice {
            Notice::Event(event, receipt) => board.publish(event, receipt),
            Notice::Room(_) => room.notify_waiters(),
            _ => {}
        }
    }
}

async fn drive_worker(
    mut host: WorkerHost,
    ready: AsyncFd<OwnedFd>,
    mut orders: UnboundedReceiver<worker::Command>,
    mut desk: Desk,
) {
    let mut batch = Vec::new();
    let mut wanted = true;
    loop {
        while let Some(notice) = host.poll_event() {
            desk.hear(notice);
        }
        tokio::select! {
            count = orders.recv_many(&mut batch, ORDERS_PER_TURN), if wanted => {
                wanted = count > 0;
                host.handle_commands(now(), batch.drain(..));
            }
            Ok(mut readiness) = poll_fn(|context| ready.poll_read_ready(context)) => {
                if host.handle_ready(now()) == Progress::Drained {
                    readiness.clear_ready();
                }
            }
            () = until(host.poll_timeout()) => host.handle_timeout(now()),
        }
    }
}

/// When nobody can order anything any more, all workers are to leave.
fn farewell() -> Command {
    Command::DisconnectAll { kill_after: None, reply: Reply::ignore() }
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

#[allow(
    deprecated,
    reason = "its successor is an unsafe function for the sake of descriptors that may be closed \
              by others; an OwnedFd cannot, and this crate forbids unsafe code"
)]
pub(crate) fn watch_fd<T: AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// How many orders are taken in one turn.
const ORDERS_PER_TURN: usize = 256;
