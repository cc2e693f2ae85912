//! Who gets a connection, and what becomes of it until somebody has it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_smol::{Handle, Worker, WorkerId};
use event_listener::Event as Notify;
use smol::Timer;
use smol::channel::{Receiver, Sender, bounded};
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};

use crate::{Answer, Failure, HandOff};

/// Hands connections to the workers on their seats. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Dispatch {
    seats: Arc<Mutex<Seats>>,
    /// Notified when a seat is taken.
    taken: Arc<Notify>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Dispatch {
    pub(crate) fn new(seats: usize) -> Self {
        let seats = Arc::new(Mutex::new(Seats(vec![None; seats])));
        Self { seats, taken: Arc::default(), ledger: Arc::default() }
    }

    /// Accepts connections, of which so many at most are on their way at a time.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        loop {
            let permit = room.acquire_arc().await;
            match listener.accept().await {
                Ok((stream, client)) => {
                    let dispatch = self.clone();
                    let delivery = async move {
                        if let Err(failure) = dispatch.deliver(stream, client).await {
                            println!("connection of {client} is lost: {failure}");
                        }
                        drop(permit);
                    };
                    smol::spawn(delivery).detach();
                }
                Err(error) => {
                    println!("cannot accept: {error}");
                    Timer::after(PAUSE).await;
                }
            }
        }
    }

    /// Hands a connection to one worker after the other until one has taken it. The copy that
    /// is kept meanwhile is closed then.
    async fn deliver(&self, stream: TcpStream, client: SocketAddr) -> Result<(), Failure> {
        loop {
            let worker = self.choose(client.ip()).await;
            let (number, taken) = self.ledger().enter(worker.id());
            let copy = Handle::copy_of(&stream)?;
            let sent = worker.send_handle(&HandOff { number, client }, copy).await;
            if sent.is_ok() && taken.recv().await.is_ok() {
                return Ok(());
            }
            self.ledger().strike(number);
            self.vacate(worker.id());
        }
    }

    /// The worker for this client, as soon as there is any.
    async fn choose(&self, client: IpAddr) -> Worker {
        loop {
            // Listen first, then look, then wait: what comes in between is not missed.
            let taken = self.taken.listen();
            if let Some(worker) = self.seats().choose(client).cloned() {
                return worker;
            }
            taken.await;
        }
    }

    pub(crate) fn seat(&self, seat: usize, worker: Worker) {
        self.seats().0[seat] = Some(worker);
        self.taken.notify(usize::MAX);
    }

    /// A worker gets no more connections.
    pub(crate) fn vacate(&self, worker: WorkerId) {
        for seat in &mut self.seats().0 {
            seat.take_if(|it| it.id() == worker);
        }
    }

    /// A worker will say nothing more: what it has not taken goes to others.
    pub(crate) fn recall(&self, worker: WorkerId) {
        self.ledger().entries.retain(|_, (holder, _)| *holder != worker);
    }

    pub(crate) fn hear(&self, worker: WorkerId, answer: Answer) {
        match answer {
            Answer::Taken { number } => self.ledger().taken(number),
            Answer::Returned { number } => {
                self.vacate(worker);
                self.ledger().strike(number);
            }
        }
    }

    /// Nobody panics in the middle of a change, of this or of the ledger.
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers that connections may be handed to.
struct Seats(Vec<Option<Worker>>);

impl Seats {
    /// Of those that are there, the one whose seat has the highest score for this client.
    fn choose(&self, client: IpAddr) -> Option<&Worker> {
        let taken = self.0.iter().enumerate().filter_map(|(seat, it)| Some((seat, it.as_ref()?)));
        taken.max_by_key(|(seat, _)| score(*seat, client)).map(|(_, worker)| worker)
    }
}

fn score(seat: usize, client: IpAddr) -> u64 {
    // Always with the same key, so that it is the same after a restart.
    let mut hasher = DefaultHasher::new();
    (seat, client.to_canonical()).hash(&mut hasher);
    hasher.finish()
}

/// The connections that are on their way: who was sent it, and whom to tell when it is taken.
/// An entry that is dropped tells that it will not be taken.
#[derive(Default)]
struct Ledger {
    entries: HashMap<u64, (WorkerId, Sender<()>)>,
    last: u64,
}

impl Ledger {
    fn enter(&mut self, worker: WorkerId) -> (u64, Receiver<()>) {
        let (sender, taken) = bounded(1);
        self.last += 1;
        self.entries.insert(self.last, (worker, sender));
        (self.last, taken)
    }

    fn taken(&mut self, number: u64) {
        if let Some((_, sender)) = self.entries.remove(&number) {
            // Whoever waits for it may have ended with the runtime.
            sender.try_send(()).unwrap_or_default();
        }
    }

    fn strike(&mut self, number: u64) {
        self.entries.remove(&number);
    }
}

/// How many connections may be on their way. Further ones wait in the kernel.
const UNDER_WAY_MAX: usize = 1024;

/// How long it is waited after accept(2) has failed: for descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
