//! `axum::serve` with the listeners of this crate.
//!
//! When a worker leaves, its listeners are closed: `axum::serve` then waits for ever unless it
//! is told to end, by `with_graceful_shutdown(worker.disconnecting())`.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{self, TcpStream, UnixStream};

use crate::listener::{ListenerClosed, Source, TcpListener, UnixListener};
use crate::tracked::Tracked;

impl Listener for TcpListener {
    type Io = Tracked<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        if let Source::Own(listener) = &mut self.source {
            let (stream, peer) = Listener::accept(listener).await;
            return (Tracked::new(stream, None), peer);
        }
        loop {
            match self.accept_tracked().await {
                Ok(accepted) => return accepted,
                Err(error) => wait_if_closed(error).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

impl Listener for UnixListener {
    type Io = Tracked<UnixStream>;
    type Addr = net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        if let Source::Own(listener) = &mut self.source {
            let (stream, peer) = Listener::accept(listener).await;
            return (Tracked::new(stream, None), peer);
        }
        loop {
            match self.accept_tracked().await {
                Ok(stream) => match stream.peer_addr() {
                    Ok(peer) => return (stream, peer),
                    Err(_) => continue,
                },
                Err(error) => wait_if_closed(error).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<net::unix::SocketAddr> {
        Self::local_addr(self)
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The address of a request's client, as `axum::extract::ConnectInfo<PeerAddr>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// After the listener's end no connection comes. After any other error the connection that had
/// it is gone, and the next may be accepted.
async fn wait_if_closed(error: io::Error) {
    if error.get_ref().is_some_and(|source| source.is::<ListenerClosed>()) {
        pending::<()>().await;
    }
}
