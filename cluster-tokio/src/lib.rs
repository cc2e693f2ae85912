//! A cluster of processes on tokio: what Node.js's `cluster` module gives JavaScript.
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
//! use cluster_tokio::{Role, Schedule, TcpListener};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     match cluster_tokio::role()? {
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
//! ```
//!
//! With the feature `axum`, `axum::serve` takes a [`TcpListener`] or a [`UnixListener`] as it
//! is, with `with_graceful_shutdown(worker.disconnecting())`.
//!
//! # Limits and hidden costs
//!
//! Each side has one task, the driver, on the runtime on which it was started
//! ([`Builder::start`], [`role`]); it ends with that runtime. A connection that is handed over
//! costs one message through a queue in the kernel, beside what it costs in any server. Nothing
//! comes back for it, but that workers report what has ended under schedules that count
//! ([`Schedule::counts`]). Streams that nobody reads ([`Events`]) hold lifecycle events without
//! bound, and hold up messages: drop them when they are no longer wanted.
//!
//! # Errors
//!
//! Each operation has a small error type of its own. A worker's failed bind arrives as the
//! [`std::io::Error`] that the primary met.
//!
//! # Features
//!
//! * `axum` (off by default): listeners for `axum::serve`.
//!
//! # Platform
//!
//! Linux, 5.10 and later. Current-thread and multi-thread runtimes, with I/O and time enabled.

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
mod role;
mod send;
mod shared;
mod this_worker;
mod tracked;
mod udp;
mod worker;

#[cfg(feature = "axum")]
mod axum;

pub use cluster_sys::spawn::{Program, SpawnError, SpawnStage, Stdio};
pub use cluster_sys::{
    Address, Candidate, Choice, Closed, ClusterError, ConfigError, Encoding, Event, ExitStatus,
    ForkError, InForce, Key, LinkError, ListenOptions, Load, Message, NotListening, Overload,
    Payload, PayloadError, Pid, Rule, Schedule, ScheduleError, SendError, Settings, Signal,
    TrySendError, UnixName, UnknownSchedule, UnknownSignal, View, WorkerId, WorkerState,
};

#[cfg(feature = "axum")]
pub use axum::PeerAddr;
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
