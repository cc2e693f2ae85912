//! What both tokio providers share.

use std::panic::resume_unwind;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub use cluster_tokio as cluster;
pub use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Lets a task run beside its caller.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(task))
}

/// Something that runs beside others.
#[derive(Debug)]
#[must_use = "it is to be detached, or cancelled"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Lets it run on by itself.
    pub fn detach(self) {}

    /// Ends it; when this is done, all that it held is dropped.
    pub async fn cancel(self) {
        self.0.abort();
        self.0.await.unwrap_or_default();
    }
}

/// Does work that blocks, without holding up the runtime.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failure) => resume_unwind(failure.into_panic()),
    }
}

/// Runs `body` to its end on a runtime of this kind.
pub(super) fn run_on<T>(mut kind: Builder, body: impl Future<Output = T>) -> T {
    let runtime = kind.enable_all().build().expect("the system has room for a runtime");
    let runtime = Left(Some(runtime));
    runtime.0.as_ref().expect("there until it is dropped").block_on(body)
}

/// A runtime that is left without waiting for blocking work, even by a panic.
struct Left(Option<Runtime>);

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
