//! Where a listener listens.

use std::fmt;
use std::net::SocketAddr;

/// An address to listen on.
///
/// Host names are resolved before an address reaches the core (Node resolves them in the
/// worker, too).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Address {
    /// TCP over IPv4 or IPv6. Port 0 asks for any free port.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(UnixName),
    /// UDP over IPv4 or IPv6. Port 0 asks for any free port.
    Udp(SocketAddr),
    /// A descriptor of the primary with this number, such as one that its own parent opened for
    /// it (socket activation). (Node: `listen({fd})`.)
    Inherited(u32),
}

impl Address {
    /// Whether any free port will do.
    pub(crate) fn asks_for_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) | Self::Udp(address) if address.port() == 0)
    }
}

impl fmt::Display for Address {
    /// `IP:PORT`, `[IPV6]:PORT`, `unix:NAME`, `udp:IP:PORT` or `fd:NUMBER`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(name) => write!(f, "unix:{name}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Inherited(number) => write!(f, "fd:{number}"),
        }
    }
}

/// The name of a unix socket: opaque to the core, a path or an abstract name to the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixName(pub Vec<u8>);

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}
