//! tokio on the current thread.

pub use super::tokio::*;

/// Runs `body` to its end.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    run_on(tokio::runtime::Builder::new_current_thread(), body)
}
