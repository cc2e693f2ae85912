//! What goes with a connection that is handed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use cluster_core::HandoffId;

/// How many bytes a [`Slip`] has.
pub const SLIP_BYTES: usize = 36;

/// The message that one connection rides on through a passage. All have one length.
///
/// ```text
///   0        8      10     12       16        20            36
///   handoff  family  port   scope    flow      IP address       (little-endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slip {
    /// Which connection. Those that go into one passage are numbered upwards.
    pub handoff: HandoffId,
    /// The other end, where it has an address.
    pub peer: Option<SocketAddr>,
}

impl Slip {
    /// The slip as it is sent.
    ///
    /// ```
    /// use cluster_core::HandoffId;
    /// use cluster_ipc::Slip;
    ///
    /// let slip = Slip { handoff: HandoffId(7), peer: "[fe80::1%3]:80".parse().ok() };
    /// assert_eq!(Slip::from_bytes(&slip.to_bytes()), Some(slip));
    /// ```
    pub fn to_bytes(&self) -> [u8; SLIP_BYTES] {
        let (family, port, scope, flow, ip) = match self.peer {
            None => (NONE, 0, 0, 0, [0; 16]),
            Some(SocketAddr::V4(peer)) => {
                (V4, peer.port(), 0, 0, peer.ip().to_ipv6_mapped().octets())
            }
            Some(SocketAddr::V6(peer)) => {
                (V6, peer.port(), peer.scope_id(), peer.flowinfo(), peer.ip().octets())
            }
        };
        let mut bytes = [0; SLIP_BYTES];
        bytes[..8].copy_from_slice(&self.handoff.0.to_le_bytes());
        bytes[8..10].copy_from_slice(&family.to_le_bytes());
        bytes[10..12].copy_from_slice(&port.to_le_bytes());
        bytes[12..16].copy_from_slice(&scope.to_le_bytes());
        bytes[16..20].copy_from_slice(&flow.to_le_bytes());
        bytes[20..].copy_from_slice(&ip);
        bytes
    }

    /// Reads a slip; `None` if this is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SLIP_BYTES] = bytes.try_into().ok()?;
        let handoff = HandoffId(u64::from_le_bytes(bytes[..8].try_into().ok()?));
        let family = u16::from_le_bytes(bytes[8..10].try_into().ok()?);
        let port = u16::from_le_bytes(bytes[10..12].try_into().ok()?);
        let scope = u32::from_le_bytes(bytes[12..16].try_into().ok()?);
        let flow = u32::from_le_bytes(bytes[16..20].try_into().ok()?);
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[20..]).ok()?);
        let peer = match family {
            NONE => None,
            V4 => Some(SocketAddr::V4(SocketAddrV4::new(v4(ip)?, port))),
            V6 => Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope))),
            _ => return None,
        };
        Some(Self { handoff, peer })
    }
}

fn v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

const NONE: u16 = 0;
const V4: u16 = 4;
const V6: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let peers = ["127.0.0.1:80", "255.255.255.255:65535", "[::1]:0", "[fe80::1%4294967295]:9"];
        let peers = peers.map(|peer| Some(peer.parse().expect("an address")));
        let flow = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 1, u32::MAX, 2);
        for peer in peers.into_iter().chain([None, Some(flow.into())]) {
            let slip = Slip { handoff: HandoffId(u64::MAX - 1), peer };
            assert_eq!(Slip::from_bytes(&slip.to_bytes()), Some(slip));
        }
    }

    #[test]
    fn what_is_no_slip_is_not_read() {
        let slip = Slip { handoff: HandoffId(1), peer: "[::1]:80".parse().ok() };
        let good = slip.to_bytes();
        assert_eq!(Slip::from_bytes(&good[..SLIP_BYTES - 1]), None);
        assert_eq!(Slip::from_bytes(&[&good[..], &[0]].concat()), None);
        for family in [1, V4, u16::MAX] {
            let mut bad = good;
            bad[8..10].copy_from_slice(&family.to_le_bytes());
            assert_eq!(Slip::from_bytes(&bad), None, "{family}");
        }
    }
}
