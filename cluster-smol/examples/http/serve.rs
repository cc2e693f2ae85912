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
use smol::channel::{Receiver, Sender, bounded};
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
    let server = Server::new(name);
    match &options.listen {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let accept = || async { Ok(listener.accept_tracked().await?.0) };
            or(asked_to_end, server.serve(accept)).await;
        }
        Place::Unix(path) => {
            let listener = UnixListener::bind(path).await.map_err(failed)?;
            or(asked_to_end, server.serve(|| listener.accept_tracked())).await;
        }
    }
    server.finish().await;
    Ok(())
}

/// What connections are told, and how it is known that there are none left. Nothing is ever sent
/// through the channels: what they tell is that all senders are gone.
struct Server {
    name: Bytes,
    serving: Sender<Infallible>,
    ending: Receiver<Infallible>,
    busy: Sender<Infallible>,
    idle: Receiver<Infallible>,
}

impl Server {
    fn new(name: String) -> Self {
        let (serving, ending) = bounded(1);
        let (busy, idle) = bounded(1);
        Self { name: name.into(), serving, ending, busy, idle }
    }

    /// Accepts connections until the listener is closed.
    async fn serve<S, F>(&self, accept: impl Fn() -> F)
    where
        S: Stream + Send + 'static,
        F: Future<Output = io::Result<Tracked<S>>>,
    {
        loop {
            match accept().await {
                Ok(stream) => {
                    let conversation = answer(stream, self.name.clone(), self.ending.clone());
                    let busy = self.busy.clone();
                    let conversation = async move {
                        conversation.await;
                        drop(busy);
                    };
                    smol::spawn(conversation).detach();
                }
                Err(error) if error.get_ref().is_some_and(|it| it.is::<ListenerClosed>()) => break,
                // Such as too many open files, which passes.
                Err(_) => drop(Timer::after(Duration::from_millis(100)).await),
            }
        }
    }

    /// Lets the connections there are answer what they have begun.
    async fn finish(self) {
        drop((self.serving, self.busy));
        gone(&self.idle).await;
    }
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
