//! `axum::serve` with the listeners of this crate.
//!
//! When a worker leaves, its listeners are closed: `axum::serve` then waits for ever unless it
//! is told to end, by `with_graceful_shutdown(worker.disconnecting())`.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{self, TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until};

use crate::listener::{TcpListener, UnixListener};
use crate::shared::ListenerClosed;
use crate::tracked::Tracked;

impl Listener for TcpListener {
    type Io = Tracked<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.accept_tracked().await {
                Ok(accepted) => return accepted,
                Err(error) => rest_after(error).await,
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
        loop {
            let accepted = self.accept_tracked().await.and_then(|stream| {
                let peer = stream.peer_addr()?;
                Ok((stream, peer))
            });
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => rest_after(error).await,
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

/// After the listener's end no connection comes. What ails one connection ends with it; anything
/// else, such as a want of descriptors, is given some time to pass, as axum does.
async fn rest_after(error: io::Error) {
    if error.get_ref().is_some_and(|source| source.is::<ListenerClosed>()) {
        pending::<()>().await;
    }
    let of_one = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
        ErrorKind::NotConnected,
    ];
    if !of_one.contains(&error.kind()) {
        sleep_until(Instant::now() + REST).await;
    }
}

/// How long nothing is accepted after an error.
const REST: Duration = Duration::from_secs(1);
