//! What the suite and its fixture need of a runtime, once for each that is tested.
//!
//! A provider re-exports the crate under test as `cluster`, the runtime's reading and writing,
//! and has three functions, `run`, `spawn` and `unblock`, and a `Task`.

mod tokio;

pub mod smol;
pub mod tokio_current;
pub mod tokio_multi;
