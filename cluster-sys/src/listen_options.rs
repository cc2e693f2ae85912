//! How an application wants to listen.

use std::io;
use std::os::fd::OwnedFd;

use cluster_core::{Address, ListenSpec};

use crate::socket::ListenSocket;

/// How to listen, beside where. When workers share a listener, the first one's options are in
/// force for all. (Node: the options of `server.listen` and of `dgram.createSocket`.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ListenOptions {
    backlog: Option<u32>,
    ipv6_only: bool,
    reuse_address: bool,
    reuse_port: bool,
    exclusive: bool,
    readable_all: bool,
    writable_all: bool,
    data: Vec<u8>,
}

impl ListenOptions {
    /// Node's defaults: a backlog of 511, IPv6 listeners that take IPv4 connections too, a
    /// shared listener, and a unix socket for whoever the process's umask allows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections may wait in the kernel (listen(2)).
    pub const fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// An IPv6 address takes no IPv4 connections or datagrams.
    pub const fn ipv6_only(mut self, only: bool) -> Self {
        self.ipv6_only = only;
        self
    }

    /// A UDP address may be bound although another socket has it (`SO_REUSEADDR`).
    pub const fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_address = reuse;
        self
    }

    /// This process binds for itself with `SO_REUSEPORT`: the kernel spreads what comes over all
    /// sockets that have done so. The primary does not know of it.
    pub const fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// This process binds for itself, and shares with nobody. The primary does not know of it.
    pub const fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// Everybody may read from a unix socket.
    pub const fn readable_all(mut self, readable: bool) -> Self {
        self.readable_all = readable;
        self
    }

    /// Everybody may write to a unix socket.
    pub const fn writable_all(mut self, writable: bool) -> Self {
        self.writable_all = writable;
        self
    }

    /// What all workers that share the listener are to know, such as keys of session tickets:
    /// the first that is not empty is everybody's.
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// Whether the process binds for itself.
    pub const fn is_own(&self) -> bool {
        self.exclusive || self.reuse_port
    }

    /// The same as a request to the primary.
    pub fn spec(&self, address: Address) -> ListenSpec {
        let default = ListenSpec::new(address);
        ListenSpec {
            backlog: self.backlog.unwrap_or(default.backlog),
            ipv6_only: self.ipv6_only,
            reuse_address: self.reuse_address,
            readable_all: self.readable_all,
            writable_all: self.writable_all,
            data: self.data.clone(),
            ..default
        }
    }

    /// A socket of this process's own: listening (or, for UDP, bound) and non-blocking. A file
    /// that it makes is left to the caller.
    ///
    /// # Errors
    ///
    /// Those of [`ListenSocket::bind`].
    pub fn bind(&self, address: Address) -> io::Result<OwnedFd> {
        let spec = self.spec(address);
        let bound = match self.reuse_port {
            true => ListenSocket::bind_reusing_port(&spec)?,
            false => ListenSocket::bind(&spec)?,
        };
        Ok(bound.into_socket())
    }
}
