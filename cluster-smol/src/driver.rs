//! The drivers: each awaits, on behalf of a host, whatever comes first of an order of the
//! application, readiness, and a deadline.

use std::future::{pending, poll_fn};
use std::io;
use std::iter::{from_fn, once};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use cluster_sys::board::Board;
use cluster_sys::primary::{Command, Notice};
use cluster_sys::{PrimaryHost, Progress, Reply, WorkerHost, worker};
use event_listener::Event as Notify;
use smol::channel::Sender;
use smol::future::{race, yield_now};
use smol::{Async, Timer};

use crate::desk::Desk;
use crate::events::Stream;
use crate::order::Order;
use crate::queue::Queue;
use crate::this_worker::ThisWorker;

/// Starts a primary's driver on the global executor. The notification is for whoever waits for
/// room in a worker's outbox.
pub(crate) fn start_primary(host: PrimaryHost) -> io::Result<(Sender<Order>, Arc<Notify>)> {
    let (orders, sources) = Sources::new(host.poll_fd())?;
    let room = Arc::new(Notify::new());
    smol::spawn(drive_primary(host, sources, room.clone())).detach();
    Ok((orders, room))
}

/// Starts a worker's driver on the global executor.
pub(crate) fn start_worker(host: WorkerHost) -> io::Result<ThisWorker> {
    let (orders, sources) = Sources::new(host.poll_fd())?;
    let (this_worker, desk) = ThisWorker::new(&host, orders);
    smol::spawn(drive_worker(host, sources, desk)).detach();
    Ok(this_worker)
}

async fn drive_primary(mut host: PrimaryHost, mut sources: Sources<Order>, room: Arc<Notify>) {
    let mut board = Board::new();
    while sources.wanted || host.has_workers() {
        publish(&mut host, &mut board, &room);
        match sources.first(host.poll_timeout()).await {
            First::Order(order) => {
                let more = sources.orders.rest().take(ORDERS_PER_TURN);
                let mut batch = once(order).chain(more).peekable();
                while let Some(order) = batch.next() {
                    match order {
                        Order::Host(command) => {
                            let more = from_fn(|| Order::next_command(&mut batch));
                            host.handle_commands(Instant::now(), once(command).chain(more));
                        }
                        Order::Subscribe(subscriber) => {
                            publish(&mut host, &mut board, &room);
                            board.subscribe(subscriber);
                        }
                    }
                }
            }
            First::Unwanted => host.handle_command(Instant::now(), farewell()),
            First::Ready => sources.progress = host.handle_ready(Instant::now()),
            First::Deadline => host.handle_timeout(Instant::now()),
        }
    }
    publish(&mut host, &mut board, &room);
}

fn publish(host: &mut PrimaryHost, board: &mut Board<Stream>, room: &Notify) {
    while let Some(notice) = host.poll_event() {
        match notice {
            Notice::Event(event, receipt) => board.publish(event, receipt),
            Notice::Room(_) => drop(room.notify(usize::MAX)),
            _ => {}
        }
    }
}

async fn drive_worker(mut host: WorkerHost, mut sources: Sources<worker::Command>, mut desk: Desk) {
    loop {
        while let Some(notice) = host.poll_event() {
            desk.hear(notice);
        }
        match sources.first(host.poll_timeout()).await {
            First::Order(order) => {
                let more = sources.orders.rest().take(ORDERS_PER_TURN);
                host.handle_commands(Instant::now(), once(order).chain(more));
            }
            First::Unwanted => {}
            First::Ready => sources.progress = host.handle_ready(Instant::now()),
            First::Deadline => host.handle_timeout(Instant::now()),
        }
    }
}

/// When nobody can order anything any more, all workers are to leave.
fn farewell() -> Command {
    Command::DisconnectAll { kill_after: None, reply: Reply::ignore() }
}

/// What a driver waits for, beside a deadline.
#[derive(Debug)]
struct Sources<O> {
    orders: Queue<O>,
    /// Until nobody can order anything any more.
    wanted: bool,
    ready: Async<OwnedFd>,
    /// What the host's last turn came to.
    progress: Progress,
}

/// What came first.
enum First<O> {
    Order(O),
    /// There will be no more orders, which is told once.
    Unwanted,
    Ready,
    Deadline,
}

impl<O> Sources<O> {
    fn new(poll_fd: BorrowedFd<'_>) -> io::Result<(Sender<O>, Self)> {
        let ready = Async::new_nonblocking(poll_fd.try_clone_to_owned()?)?;
        let (sender, orders) = Queue::new();
        Ok((sender, Self { orders, wanted: true, ready, progress: Progress::Drained }))
    }

    /// Waits. Each kind has its turn, even if there is always one of the others. What did not
    /// come first is neither taken nor missed: an order stays queued, and readiness is a level.
    async fn first(&mut self, deadline: Option<Instant>) -> First<O> {
        let Self { orders, wanted, ready, progress } = self;
        let order = async {
            match *wanted {
                true => orders.next().await.map_or(First::Unwanted, First::Order),
                false => pending().await,
            }
        };
        let ready = async {
            match progress {
                Progress::More => yield_now().await,
                // A descriptor that cannot be waited for for once does not hold up the others.
                Progress::Drained if poll_fn(|it| ready.poll_readable(it)).await.is_err() => {
                    pending::<()>().await;
                }
                Progress::Drained => {}
            }
            First::Ready
        };
        let due = async {
            match deadline {
                Some(deadline) => Timer::at(deadline).await,
                None => pending().await,
            };
            First::Deadline
        };
        let first = race(order, race(ready, due)).await;
        *wanted &= !matches!(first, First::Unwanted);
        first
    }
}

/// How many orders are taken in one turn, beside the first.
const ORDERS_PER_TURN: usize = 255;
