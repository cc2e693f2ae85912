//! The conformance suite on `smol`.

#[macro_use]
#[path = "../suite/mod.rs"]
mod suite;

/// The provider, and the fixture that is built with it.
mod provider {
    pub(crate) use cluster_tests::provider::smol::*;

    pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_worker_smol");
}

conformance!();
