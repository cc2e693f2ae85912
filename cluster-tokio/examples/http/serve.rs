//! Serving: the same code with and without a cluster.

use std::fmt::Debug;
use std::io;

use axum::Router;
use axum::routing::any;
use axum::serve::Listener;
use cluster_tokio::{TcpListener, ThisWorker, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::options::{Options, Place};

/// Serves as a worker of a cluster, until the worker leaves.
pub(crate) async fn as_worker(worker: ThisWorker, options: &Options) -> Result<(), Failure> {
    let name = format!("worker {} pid {}\n", worker.id(), std::process::id());
    // A terminal's Ctrl-C comes to all processes; workers leave when the primary says so.
    let _interrupts = signal(SignalKind::interrupt())?;
    if let Err(error) = listen_and_serve(options, name, worker.disconnecting()).await {
        // Asked to leave before it listened: nothing is wrong.
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::NotConnected) {
            return Ok(());
        }
        // There is no sense in trying again: the primary tells why, and ends. If the channel is
        // closed, another worker was quicker to say so.
        drop(worker.send(&error.to_string()).await);
        worker.disconnect();
    }
    worker.disconnected().await;
    Ok(())
}

/// Serves in this process, until it is asked to end.
pub(crate) async fn alone(options: &Options) -> Result<(), Failure> {
    let name = format!("single pid {}\n", std::process::id());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    listen_and_serve(options, name, asked).await
}

async fn listen_and_serve(
    options: &Options,
    name: String,
    asked_to_end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.listen))
    };
    match &options.listen {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            serve(listener, name, asked_to_end).await
        }
        Place::Unix(path) => {
            let listener = UnixListener::bind(path).await.map_err(failed)?;
            serve(listener, name, asked_to_end).await
        }
    }
}

async fn serve<L>(
    listener: L,
    name: String,
    asked_to_end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure>
where
    L: Listener,
    L::Addr: Debug,
{
    let app = Router::new().fallback(any(move || async move { name }));
    axum::serve(listener, app).with_graceful_shutdown(asked_to_end).await?;
    Ok(())
}
