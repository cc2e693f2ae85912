//! A worker: serves connections that come in messages.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::routing::any;
use axum::serve::{IncomingStream, Listener};
use cluster_tokio::{Handle, Message, ThisWorker};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::{Answer, Failure, HandOff};

/// Serves until the worker leaves: because the primary says so, or of its own will, with
/// `SIGTERM`.
pub(crate) async fn serve(worker: ThisWorker) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let leaver = worker.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        leaver.disconnect();
    });
    // The primary knows nothing of connections that are served here: this keeps the channel
    // open for them.
    let busy = worker.busy();
    let (taken, connections) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    tokio::spawn(take(worker.clone(), taken));
    let sessions = Arc::new(Mutex::new(HashMap::<IpAddr, u64>::new()));
    let name = format!("worker {} pid {}", worker.id(), process::id());
    let visit = async move |ConnectInfo(Client(client)): ConnectInfo<Client>| {
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let visits = sessions.entry(client.ip()).or_default();
        *visits += 1;
        format!("{name} visit {visits}\n")
    };
    let app = Router::new().fallback(any(visit));
    let app = app.into_make_service_with_connect_info::<Client>();
    axum::serve(Taken { connections, end: Some(end) }, app)
        .with_graceful_shutdown(async { ended.await.unwrap_or_default() })
        .await?;
    drop(busy);
    worker.disconnected().await;
    Ok(())
}

/// Takes connections until the worker leaves, and returns those that come later.
async fn take(worker: ThisWorker, taken: mpsc::UnboundedSender<(TcpStream, SocketAddr)>) {
    let mut leaving = pin!(worker.disconnecting());
    let mut taken = Some(taken);
    loop {
        let message = tokio::select! {
            biased;
            () = &mut leaving, if taken.is_some() => {
                taken = None;
                continue;
            }
            message = worker.recv() => message,
        };
        let Some(message) = message else { return };
        match take_one(&worker, taken.as_ref(), &message).await {
            Ok(()) => {}
            // The end of the channel says the same.
            Err(_) if !worker.is_connected() => return,
            Err(failure) => eprintln!("worker {}: {failure}", worker.id()),
        }
    }
}

/// Says first that it is taken, so that nobody else gets it when this process has read of it.
async fn take_one(
    worker: &ThisWorker,
    taken: Option<&mpsc::UnboundedSender<(TcpStream, SocketAddr)>>,
    message: &Message,
) -> Result<(), Failure> {
    let HandOff { number, client } = message.decode()?;
    let (Some(taken), Some(Handle::TcpStream(stream))) = (taken, Handle::take_from(message)?)
    else {
        return Ok(worker.send(&Answer::Returned { number }).await?);
    };
    worker.send(&Answer::Taken { number }).await?;
    Ok(taken.send((stream, client))?)
}

/// Connections for `axum::serve`. When all are served that will ever come, it says so once.
struct Taken {
    connections: mpsc::UnboundedReceiver<(TcpStream, SocketAddr)>,
    end: Option<oneshot::Sender<()>>,
}

impl Listener for Taken {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => {
                self.end.take();
                pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

/// The address of a request's client.
#[derive(Clone, Copy)]
struct Client(SocketAddr);

impl Connected<IncomingStream<'_, Taken>> for Client {
    fn connect_info(stream: IncomingStream<'_, Taken>) -> Self {
        Self(*stream.remote_addr())
    }
}
