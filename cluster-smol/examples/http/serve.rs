//! Serving: the same code with and without a cluster.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use async_signal::{Signal, Signals};
use cluster_smol::{ListenerClosed, Stream, TcpListener, ThisWorker, Tracked, UnixListener};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use smol::Timer;
use smol::channel::{Receiver, bounded};
use smol::future::or;
use smol::stream::StreamExt;
use smol_hyper::rt::FuturesIo;

use crate::Failure;
use crate::options::{Options, Place};

/// Serves as a worker of a cluster, until the worker leaves.
pub(crate) async fn as_worker(worker: ThisWorker, options: &Options) -> Result<(), Failure> {
    let name = format!("worker {} pid {}\n", worker.id(), std::process::id());
    // A terminal's Ctrl-C comes to all processes; workers leave when the primary says so.
    let _interrupts = Signals::new([Signal::Int])?;
    if let Err(error) = listen_and_serve(options, name, worker.disconnecting()).await {
        // Asked to leave before it listened: nothing is wrong.
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::NotConnected) {
            return Ok(());
        }
        // There is no sense in trying again: the primary tells why, and ends.
        worker.send(&error.to_string()).await?;
        worker.disconnect();
    }
    worker.disconnected().await;
    Ok(())
}

/// Serves in this process, until it is asked to end.
pub(crate) async fn alone(options: &Options) -> Result<(), Failure> {
    let name = format!("single pid {}\n", std::process::id());
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let asked = async move { drop(signals.next().await) };
    listen_and_serve(options, name, asked).await
}

async fn listen_and_serve(
    options: &Options,
    name: String,
    asked_to_end: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.listen))
    };
    match &options.listen {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let accept = async move || Ok(listener.accept_tracked().await?.0);
            serve(accept, name, asked_to_end).await;
        }
        Place::Unix(path) => {
            let listener = UnixListener::bind(path).await.map_err(failed)?;
            let accept = async move || listener.accept_tracked().await;
            serve(accept, name, asked_to_end).await;
        }
    }
    Ok(())
}

/// Accepts until it is asked to end, and then waits for the connections there are.
async fn serve<S: Stream + Send + 'static>(
    accept: impl AsyncFn() -> io::Result<Tracked<S>>,
    name: String,
    asked_to_end: impl Future<Output = ()>,
) {
    let name = Bytes::from(name);
    // Nothing is ever sent through these: what they tell is that all senders are gone.
    let (serving, ending) = bounded::<Infallible>(1);
    let (busy, idle) = bounded::<Infallible>(1);
    let accept_all = async {
        loop {
            match accept().await {
                Ok(stream) => {
                    let (name, ending, busy) = (name.clone(), ending.clone(), busy.clone());
                    let conversation = async move {
                        answer(stream, name, ending).await;
                        drop(busy);
                    };
                    smol::spawn(conversation).detach();
                }
                Err(error) if error.get_ref().is_some_and(|it| it.is::<ListenerClosed>()) => break,
                // Such as too many open files, which passes.
                Err(_) => drop(Timer::after(Duration::from_millis(100)).await),
            }
        }
    };
    or(asked_to_end, accept_all).await;
    drop((accept, serving, busy));
    gone(&idle).await;
}

/// Answers the requests of a connection. Asked to end, it answers the one that it has begun.
async fn answer<S: Stream>(stream: Tracked<S>, name: Bytes, ending: Receiver<Infallible>) {
    let service = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::new(name.clone())))
    });
    let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), service);
    let mut connection = pin!(connection);
    let asked = async {
        gone(&ending).await;
        None
    };
    let over = or(async { Some(connection.as_mut().await) }, asked).await;
    if over.is_none() {
        connection.as_mut().graceful_shutdown();
        // What fails now is the client's affair.
        connection.await.unwrap_or_default();
    }
}

/// Waits until all senders are gone.
async fn gone(senders: &Receiver<Infallible>) {
    if let Ok(never) = senders.recv().await {
        match never {}
    }
}
