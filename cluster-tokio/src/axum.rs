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

use crate::listener::{Source, TcpListener, UnixListener};
use crate::shared::ListenerClosed;
use crate::tracked::Tracked;

impl Listener for TcpListener {
    type Io = Tracked<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let accepted = match &mut self.source {
                // axum knows how to go on after errors of accept(2).
                Source::Own(listener) => {
                    let (stream, peer) = Listener::accept(listener).await;
                    Ok((Tracked::new(stream, None), peer))
                }
                Source::Kernel(listener, shared) => shared
                    .while_here(async { Ok(Listener::accept(listener).await) })
                    .await
                    .map(|(stream, peer)| (Tracked::new(stream, Some(shared.claim())), peer)),
                Source::HandedOver(_) => self.accept_tracked().await,
            };
            match accepted {
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
        loop {
            let accepted = match &mut self.source {
                Source::Own(listener) => {
                    let (stream, peer) = Listener::accept(listener).await;
                    Ok((Tracked::new(stream, None), peer))
                }
                Source::Kernel(listener, shared) => shared
                    .while_here(async { Ok(Listener::accept(listener).await) })
                    .await
                    .map(|(stream, peer)| (Tracked::new(stream, Some(shared.claim())), peer)),
                Source::HandedOver(_) => self.accept_tracked().await.and_then(|stream| {
                    let peer = stream.peer_addr()?;
                    Ok((stream, peer))
                }),
            };
            match accepted {
                Ok(accepted) => return accepted,
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
