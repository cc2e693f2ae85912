//! The conformance suite on `tokio_multi`.

#[macro_use]
#[path = "../suite/mod.rs"]
mod suite;

/// The provider, and the fixture that is built with it.
mod provider {
    pub(crate) use cluster_tests::provider::tokio_multi::*;

    pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_worker_tokio_multi");
}

conformance!();
