//! A cluster of processes on smol: what Node.js's `cluster` module gives JavaScript.
//!
//! A *primary* process starts *workers*, copies of the same program. Workers share server
//! ports: the primary accepts connections and hands them over in turn. Both sides exchange
//! messages. A worker that dies takes down nothing but the connections it was serving; one that
//! is asked to leave finishes them first.
//!
//! This crate does not decide, encode, or call the operating system: it waits. What it waits
//! for is done by `cluster-sys`, and decided by `cluster-core`.
//!
//! ```text
//!   Cluster, Worker ──orders──▶ driver (one task) ── PrimaryHost ══channel══ WorkerHost ── driver
//!   Events          ◀─notices──                                              TcpListener, ThisWorker
//! ```
//!
//! # The shortest program
//!
//! ```no_run
//! use cluster_smol::{Role, Schedule, TcpListener};
//!
//! fn main() -> Result<(), Failure> {
//!     smol::block_on(smol::spawn(run()))
//! }
//!
//! async fn run() -> Result<(), Failure> {
//!     match cluster_smol::role()? {
//!         Role::Primary(builder) => {
//!             let cluster = builder.schedule(Schedule::RoundRobin).start()?;
//!             for _ in 0..std::thread::available_parallelism()?.get() {
//!                 cluster.fork().await?;
//!             }
//!             let mut events = cluster.events();
//!             while let Some(event) = events.next().await {
//!                 println!("{event}");
//!             }
//!         }
//!         Role::Worker(worker) => {
//!             let listener = worker.listen("127.0.0.1:8000").await?;
//!             loop {
//!                 let (stream, peer) = listener.accept().await?;
//!                 println!("worker {} serves {peer}", worker.id());
//!                 drop(stream);
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//!
//! type Failure = Box<dyn std::error::Error + Send + Sync>;
//! ```
//!
//! A server that shuts down gracefully accepts by [`TcpListener::accept_tracked`] and, when
//! [`ThisWorker::disconnecting`] ends, closes the streams that wait for a request. A [`Tracked`]
//! stream is what any library for futures reads from and writes to; `smol-hyper` makes it one
//! for hyper, as the crate's example `http` does.
//!
//! # Limits and hidden costs
//!
//! Each side has one task, the driver, on smol's global executor ([`smol::spawn`]), whatever
//! executor the application uses; its first task starts a thread, or as many as `SMOL_THREADS`
//! says. An application that is a task of the same executor, as above, is woken without a change
//! of threads; one in [`smol::block_on`] alone took four times the processor's time for messages
//! to and fro.
//!
//! The driver ends with the process, without a last word: a worker whose server has ended waits
//! for [`ThisWorker::disconnected`] before it ends, or streams that nobody used may be closed
//! instead of going to another worker.
//!
//! A connection that is handed over costs one message through a queue in the kernel, beside what
//! it costs in any server. Nothing comes back for it, but that workers report what has ended under
//! schedules that count ([`Schedule::counts`]). Streams that nobody reads ([`Events`]) hold
//! lifecycle events without bound, and hold up messages: drop them when they are no longer wanted.
//!
//! # Errors
//!
//! Each operation has a small error type of its own. A worker's failed bind arrives as the
//! [`std::io::Error`] that the primary met.
//!
//! # Features
//!
//! None.
//!
//! # Platform
//!
//! Linux, 5.10 and later. No runtime needs to have been started.

#![forbid(unsafe_code)]

mod answer;
mod builder;
mod cluster;
mod desk;
mod driver;
mod events;
mod handle;
mod listener;
mod order;
mod queue;
mod role;
mod send;
mod shared;
mod this_worker;
mod tracked;
mod udp;
mod worker;

pub use cluster_sys::spawn::{Program, SpawnError, SpawnStage, Stdio};
pub use cluster_sys::{
    Address, Candidate, Choice, Closed, ClusterError, ConfigError, Encoding, Event, ExitStatus,
    ForkError, InForce, Key, LinkError, ListenOptions, Load, Message, NotListening, Overload,
    Payload, PayloadError, Pid, Rule, Schedule, ScheduleError, SendError, Settings, Signal,
    TrySendError, UnixName, UnknownSchedule, UnknownSignal, View, WorkerId, WorkerState,
};

pub use builder::{Builder, StartError};
pub use cluster::Cluster;
pub use events::Events;
pub use handle::Handle;
pub use listener::{TcpListener, UnixListener};
#[expect(deprecated, reason = "it is offered for those who know the old name")]
pub use role::is_master;
pub use role::{Role, RoleError, is_primary, is_worker, role};
pub use shared::ListenerClosed;
pub use this_worker::ThisWorker;
pub use tracked::{Busy, Stream, Tracked};
pub use udp::UdpSocket;
pub use worker::Worker;
