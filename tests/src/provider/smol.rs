//! smol, with its global executor.

pub use cluster_smol as cluster;
pub use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
pub use smol::unblock;

/// Runs `body` to its end. What it has spawned goes on beside it, and ends by itself.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    smol::block_on(body)
}

/// Lets a task run beside its caller.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(smol::spawn(task))
}

/// Something that runs beside others.
#[derive(Debug)]
#[must_use = "it is to be detached, or cancelled"]
pub struct Task(smol::Task<()>);

impl Task {
    /// Lets it run on by itself.
    pub fn detach(self) {
        self.0.detach();
    }

    /// Ends it; when this is done, all that it held is dropped.
    pub async fn cancel(self) {
        self.0.cancel().await.unwrap_or_default();
    }
}
