//! The conformance suite against workers in an event loop of their own.

#[macro_use]
#[path = "../suite/mod.rs"]
#[allow(dead_code, reason = "not every scenario is about the worker's side of the host")]
mod suite;

/// The primary's provider, and the fixture without one.
mod provider {
    pub(crate) use cluster_tests::provider::tokio_current::*;

    pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_worker_mio");
}

conformance_without_runtime!();
