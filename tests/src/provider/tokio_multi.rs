//! tokio on several threads.

pub use super::tokio::*;

/// Runs `body` to its end.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    let mut kind = tokio::runtime::Builder::new_multi_thread();
    kind.worker_threads(2);
    run_on(kind, body)
}
