//! A worker: serves connections that come in messages.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Handle, Message, ThisWorker};
use hyper::Response;
use smol::channel::{Receiver, Sender, unbounded};
use smol::future::{or, pending};
use smol::net::TcpStream;
use smol::stream::StreamExt;

use crate::server::Server;
use crate::{Answer, Failure, HandOff};

/// Serves until the worker leaves: because the primary says so, or of its own will, with
/// `SIGTERM`.
pub(crate) async fn serve(worker: ThisWorker) -> Result<(), Failure> {
    let mut terminate = Signals::new([Asked::Term])?;
    let leaver = worker.clone();
    let leaving = async move {
        terminate.next().await;
        leaver.disconnect();
    };
    smol::spawn(leaving).detach();
    // The primary knows nothing of connections that are served here: this keeps the channel
    // open for them.
    let busy = worker.busy();
    let (taken, connections) = unbounded();
    smol::spawn(take(worker.clone(), taken)).detach();
    serve_all(&worker, connections).await;
    drop(busy);
    worker.disconnected().await;
    Ok(())
}

/// Serves connections until no more will come, and these are finished.
async fn serve_all(worker: &ThisWorker, connections: Receiver<(TcpStream, SocketAddr)>) {
    let name = format!("worker {} pid {}", worker.id(), process::id());
    let sessions = Arc::new(Mutex::new(HashMap::<IpAddr, u64>::new()));
    let server = Server::new();
    while let Ok((stream, client)) = connections.recv().await {
        let (name, sessions) = (name.clone(), sessions.clone());
        let visit = async move |_| {
            let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let visits = sessions.entry(client.ip()).or_default();
            *visits += 1;
            Response::new(format!("{name} visit {visits}\n").into())
        };
        server.serve(stream, visit);
    }
    server.finish().await;
}

/// Takes connections until the worker leaves, and returns those that come later.
async fn take(worker: ThisWorker, taken: Sender<(TcpStream, SocketAddr)>) {
    let mut taken = Some(taken);
    loop {
        let leaving = async {
            match taken {
                Some(_) => worker.disconnecting().await,
                None => pending().await,
            }
            None
        };
        let Some(message) = or(leaving, async { Some(worker.recv().await) }).await else {
            taken = None;
            continue;
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
    taken: Option<&Sender<(TcpStream, SocketAddr)>>,
    message: &Message,
) -> Result<(), Failure> {
    let HandOff { number, client } = message.decode()?;
    let (Some(taken), Some(Handle::TcpStream(stream))) = (taken, Handle::take_from(message)?)
    else {
        return Ok(worker.send(&Answer::Returned { number }).await?);
    };
    worker.send(&Answer::Taken { number }).await?;
    Ok(taken.try_send((stream, client))?)
}
