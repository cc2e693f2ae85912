//! Proves: one conformance suite over real processes, compiled once for each provider.
//!
//! This crate does not test anything from inside: what the suite (`tests/suite`) sees, any user
//! of the provider's crate can see.
//!
//! ```text
//!   tests/tests/tokio_current.rs   one flavour: a provider, and the suite compiled against it
//!   tests/tests/tokio_multi.rs
//!   tests/tests/smol.rs
//!   tests/tests/mio.rs             on tokio, with workers in an event loop of their own
//!        │ starts, sends steps
//!        ▼
//!   src/bin/worker_tokio_current.rs   the same provider, and the fixture compiled against it
//!   src/bin/worker_tokio_multi.rs
//!   src/bin/worker_smol.rs
//!   src/bin/worker_mio.rs             a fixture of its own, on the host itself
//! ```
//!
//! A test is named `schedule::group::scenario`; scenarios that have no listener, or a schedule of
//! their own, are under `any`.
//! A new provider is one file in [`provider`], one in `src/bin`, and one in `tests`.

#![forbid(unsafe_code)]

pub mod provider;
pub mod script;
