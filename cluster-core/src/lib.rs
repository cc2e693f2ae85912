//! Decides: the state machines of a cluster, one for the primary and one for each worker.
//!
//! This crate does no input or output. It knows no bytes, no descriptors, no paths, no clock,
//! no threads and no `async`: facts go in, decisions come out, and time is an argument.
//!
//! ```text
//!                commands            facts
//!                   │                  │
//!                   ▼                  ▼
//!   application ▶ Primary / Agent ◀ handle_input ◀ host (cluster-sys)
//!                   │
//!                   └─ poll_output ─▶ Action for the host, Event for the application, Wait
//! ```
//!
//! # The rule of the loop
//!
//! Change once, then drain [`poll_output`](Primary::poll_output) until [`Output::Wait`], then
//! wait. The order of outputs is part of the contract. This is a complete loop, with a host
//! that only pretends to start processes:
//!
//! ```
//! use std::time::Instant;
//!
//! use cluster_core::primary::{Action, Event, Input, Primary};
//! use cluster_core::{Config, Output, Pid};
//!
//! let now = Instant::now();
//! let mut primary = Primary::new(Config::default());
//! let worker = primary.fork()?;
//!
//! loop {
//!     match primary.poll_output() {
//!         Output::Action(Action::Spawn { worker }) => {
//!             primary.handle_input(now, Input::Spawned { worker, pid: Pid(4711) });
//!         }
//!         Output::Action(other) => unreachable!("a lone fork asks for nothing else: {other:?}"),
//!         Output::Event(event) => assert_eq!(event, Event::Fork { worker, pid: Pid(4711) }),
//!         Output::Wait(deadline) => {
//!             assert_eq!(deadline, None);
//!             break;
//!         }
//!     }
//! }
//! # Ok::<(), cluster_core::primary::TooManyWorkers>(())
//! ```
//!
//! # Limits
//!
//! All in [`limits`]. Work for one connection grows with the number of workers that share its
//! listener (some nanoseconds for each). Under a schedule that lets connections wait though
//! somebody has room ([`Schedule::Sticky`], or a rule of one's own), it also grows with the
//! number of those that wait: each is looked at whenever something changes. Nothing else grows.
//!
//! A primary has a deadline every [`STALLED_CHECK`](limits::STALLED_CHECK) for each TCP listener
//! of which workers have sockets of their own ([`Schedule::Sharded`]), as long as one of them
//! accepts, and for each worker that has connections untaken though others share their listener.
//!
//! # Errors
//!
//! Commands that can be refused say so by small types of their own
//! ([`UnknownWorker`](primary::UnknownWorker), [`TooManyWorkers`](primary::TooManyWorkers),
//! [`ConfigError`]), and change nothing then. Facts cannot be refused: what fails in the world is
//! a fact itself, with an [`OsError`], and a worker that cannot listen is told a [`ListenError`].
//!
//! # Features
//!
//! * `serde` (off by default): serialisation of the control vocabulary ([`ToPrimary`],
//!   [`ToWorker`]), for `cluster-ipc`.
//!
//! # Platform
//!
//! Any: there is nothing here that depends on one.

#![forbid(unsafe_code)]

pub mod agent;
pub mod limits;
pub mod primary;

mod account;
mod address;
mod config;
mod control;
mod deadlines;
mod id;
mod ledger;
mod life;
mod listen;
mod listeners;
mod output;
mod rotation;
mod schedule;
mod slots;
mod status;
mod token;

pub use address::{Address, UnixName};
pub use agent::Agent;
pub use config::{Config, ConfigError, Overload};
pub use control::{Grant, ToPrimary, ToWorker};
pub use deadlines::Reason;
pub use id::{FarewellId, HandoffId, ListenerId, Pid, RequestId, SlotId, WorkerId};
pub use listen::{ListenError, ListenSpec, OsError};
pub use output::Output;
pub use primary::Primary;
pub use schedule::{Candidate, Choice, Key, Rule, Schedule, Sharing, UnknownSchedule, View};
pub use status::{ExitStatus, Signal, UnknownSignal, WorkerState};
pub use token::{HandleName, HandleToken};
