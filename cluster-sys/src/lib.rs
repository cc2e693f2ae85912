//! Does: processes, channels, sockets, signals, and the hosts that carry out what a cluster's
//! cores have decided.
//!
//! This crate does not know any async runtime. It never waits: a host shows one pollable
//! descriptor and one deadline, and whoever drives it waits for them.
//!
//! ```text
//!   driver ──commands──▶ host ──facts──▶ core (cluster-core)
//!          ◀──events───        ◀─actions─
//!            poll_fd           │
//!                              ├─ link ── channel (socketpair, SCM_RIGHTS) ── the other side
//!                              ├─ passage (SOCK_SEQPACKET, SCM_RIGHTS) ═▶ a worker's Arrivals
//!                              ├─ process (pidfd), spawn (fork and exec)
//!                              └─ socket (accept4), signal
//! ```
//!
//! # The complete loop
//!
//! A primary with a loop of its own; a runtime's adapter does the same with its own waiting.
//!
//! ```
//! use std::os::fd::AsRawFd;
//! use std::time::Instant;
//!
//! use cluster_sys::primary::{Command, Notice, PrimaryHost};
//! use cluster_sys::{Config, InForce, Progress, Reply, Settings};
//! use mio::{Events, Interest, Poll, Token, unix::SourceFd};
//!
//! // A program that is no worker at all: it ends without having said a word.
//! let settings = InForce::new().with(&Settings::new().exec("/bin/true"));
//! let mut host = PrimaryHost::new(Config::default(), settings)?;
//! let fork = Command::Fork { settings: Settings::new(), reply: Reply::ignore() };
//! host.handle_command(Instant::now(), fork);
//!
//! let mut poll = Poll::new()?;
//! let mut readiness = Events::with_capacity(1);
//! let fd = host.poll_fd().as_raw_fd();
//! poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
//!
//! let mut seen = Vec::new();
//! while host.has_workers() {
//!     let now = Instant::now();
//!     let timeout = host.poll_timeout().map(|at| at.saturating_duration_since(now));
//!     poll.poll(&mut readiness, timeout)?;
//!     while host.handle_ready(Instant::now()) == Progress::More {}
//!     if host.poll_timeout().is_some_and(|at| at <= Instant::now()) {
//!         host.handle_timeout(Instant::now());
//!     }
//!     while let Some(notice) = host.poll_event() {
//!         if let Notice::Event(event, _receipt) = notice {
//!             seen.push(event.to_string());
//!         }
//!     }
//! }
//! assert!(seen[0].starts_with("fork 1 "));
//! assert_eq!(seen[1], "disconnect 1");
//! assert_eq!(seen[2], "exit 1 code=0 signal=- exited_after_disconnect=false");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Limits and hidden costs
//!
//! Limits are in [`limits`] and those of the crates below it. A host has no thread. Dropping a
//! [`PrimaryHost`] closes its channels, which ends the workers, without waiting for them.
//! `WorkerHost` ends the process when its channel ends by accident.
//!
//! A primary has both ends of a passage open for each worker of each listener that has
//! connections. Where workers have sockets of their own, it has those open, too.
//!
//! # Errors
//!
//! What calls the operating system gives its error as [`std::io::Error`]; where something else can
//! go wrong, there is a small type for it ([`SpawnError`](spawn::SpawnError), [`ForkError`],
//! [`SendError`], …). What fails while nobody waits for an answer is told as [`Event::Error`], and
//! the cluster goes on.
//!
//! # Features
//!
//! None.
//!
//! # Platform
//!
//! Linux, 5.10 and later.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod board;
pub mod channel;
pub mod invitation;
pub mod limits;
pub mod process;
pub mod signal;
pub mod socket;
pub mod spawn;

mod activity;
mod arrivals;
mod claim;
mod cmsg;
mod error;
mod event;
mod facts;
mod handle_kind;
mod host;
mod link;
mod listen_options;
mod load;
mod message;
mod outbox;
mod passage;
mod patience;
mod pipes;
mod policy;
mod reply;
mod settings;
mod unix_name;

pub use cluster_core::{
    Address, Candidate, Choice, Config, ConfigError, ExitStatus, Grant, Key, ListenError,
    ListenSpec, ListenerId, OsError, Overload, Pid, Rule, Schedule, Signal, UnixName,
    UnknownSchedule, UnknownSignal, View, WorkerId, WorkerState,
};
pub use cluster_ipc::{EncodeError, Encoding, Payload, PayloadError};

pub use activity::{Activity, Guard};
pub use arrivals::{Arrivals, Arrived};
pub use claim::{Claim, Claims};
pub use error::{
    Closed, ForkError, NotListening, ScheduleError, SendError, TrySendError, listen_error,
};
pub use event::{ClusterError, Event};
pub use facts::WorkerFacts;
pub use handle_kind::{HandleKind, set_nonblocking};
pub use host::Progress;
pub use host::primary::{self, PrimaryHost, WorkerParts};
pub use host::worker::{self, WorkerHost};
pub use link::LinkError;
pub use listen_options::ListenOptions;
pub use load::Load;
pub use message::{Message, Outgoing, Receipt};
pub use outbox::{NoRoom, Outbox, Permit};
pub use pipes::Pipes;
pub use policy::{default_budget, random_seed, schedule_from_environment};
pub use reply::Reply;
pub use settings::{InForce, Settings};
pub use unix_name::{unix_address, unix_socket_addr};
