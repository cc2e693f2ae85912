//! UDP sockets: shared with the other workers, or this process's own.

use std::future::ready;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;

use cluster_sys::{Address, ListenOptions};
use tokio::net::{self, ToSocketAddrs};

use crate::listener::first;
use crate::role::this_worker;
use crate::shared::Shared;

/// A UDP socket: in a worker, one that the workers of its cluster share; elsewhere, this process's
/// own. Each datagram goes to one of those that receive, as the kernel likes. (Node: the same,
/// `dgram` in a cluster.)
///
/// Under [`Schedule::Sharded`](crate::Schedule::Sharded) each worker has a socket of its own on
/// the address, and the datagrams of one peer go to one worker, as long as no other comes or goes.
///
/// It is used as the [`tokio::net::UdpSocket`] that it dereferences to. A worker that leaves
/// gives up its share; the socket itself works until it is dropped.
#[derive(Debug)]
pub struct UdpSocket {
    socket: net::UdpSocket,
    shared: Option<Box<Shared>>,
}

impl UdpSocket {
    /// Binds an address. In a worker this asks the primary, as
    /// [`ThisWorker::bind_udp`](crate::ThisWorker::bind_udp) does; in any other process it
    /// binds for itself.
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, &ListenOptions::new()).await
    }

    /// Binds an address with options. [`ListenOptions::exclusive`] and
    /// [`ListenOptions::reuse_port`] bind for this process alone, in a worker, too.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the address is given up again.
    pub async fn bind_with(
        address: impl ToSocketAddrs,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        if let Some(worker) = this_worker().map_err(io::Error::other)? {
            return worker.bind_udp_with(address, options).await;
        }
        first(address, |address| ready(options.bind(Address::Udp(address)).and_then(Self::own)))
            .await
    }

    /// What the first worker that bound this address gave for all
    /// ([`ListenOptions::data`]); empty outside a cluster.
    pub fn shared_data(&self) -> &[u8] {
        self.shared.as_ref().map_or(&[], |it| it.data())
    }

    pub(crate) fn own(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: net::UdpSocket::from_std(socket.into())?, shared: None })
    }

    pub(crate) fn shared((shared, socket): (Box<Shared>, Option<OwnedFd>)) -> io::Result<Self> {
        let socket = socket.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { socket: net::UdpSocket::from_std(socket.into())?, shared: Some(shared) })
    }
}

impl Deref for UdpSocket {
    type Target = net::UdpSocket;

    fn deref(&self) -> &net::UdpSocket {
        &self.socket
    }
}
