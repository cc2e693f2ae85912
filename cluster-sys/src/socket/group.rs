//! Several sockets on one address, over which the kernel spreads what comes.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use cluster_core::{Address, ListenSpec};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ListenSocket;
use super::spread::{Kind, attach};

/// A group of listening (or, for UDP, bound) sockets with `SO_REUSEPORT` on one address, of
/// which a program chooses one for each connection or datagram.
///
/// The kernel knows the sockets by the order in which they joined; none is closed before all
/// are. Programs of other users cannot join. One of the same user can, and gets nothing: the
/// program does not name it.
#[derive(Debug)]
pub struct ListenGroup {
    spec: ListenSpec,
    kind: Kind,
    sockets: Vec<ListenSocket>,
}

impl ListenGroup {
    /// A group of one socket. An address that is in use is an error, also if it is used with
    /// `SO_REUSEPORT`.
    ///
    /// # Errors
    ///
    /// As for [`ListenSocket::bind`]; `EOPNOTSUPP` for an address that is neither TCP nor UDP.
    pub fn bind(spec: &ListenSpec) -> io::Result<Self> {
        let (kind, asked) = match &spec.address {
            Address::Tcp(address) => (Kind::Connections, *address),
            Address::Udp(address) => (Kind::Datagrams, *address),
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        if asked.port() != 0 {
            // With the option, bind(2) would let us join whoever has it already.
            drop(ListenSocket::probe(spec)?);
        }
        let first = ListenSocket::bind_reusing_port(spec)?;
        let spec = ListenSpec { address: first.local_address().clone(), ..spec.clone() };
        let group = Self { spec, kind, sockets: vec![first] };
        group.spread(&[0])?;
        Ok(group)
    }

    /// Adds a socket; says at which place it is. Nothing comes to it before it is
    /// [spread](Self::spread) over.
    ///
    /// # Errors
    ///
    /// As for [`ListenSocket::bind`]; `EADDRINUSE` if another program has joined the group, so
    /// that places are not what they seem.
    pub fn open(&mut self) -> io::Result<usize> {
        let socket = ListenSocket::bind_reusing_port(&self.spec)?;
        if self.members()? > self.sockets.len() + 1 {
            return Err(Errno::EADDRINUSE.into());
        }
        self.sockets.push(socket);
        Ok(self.sockets.len() - 1)
    }

    /// From now on, what comes goes to the sockets at these places, evenly: each connection to
    /// any of them, datagrams of one peer to one of them.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2); `EINVAL` if there are no places, or too many.
    pub fn spread(&self, places: &[usize]) -> io::Result<()> {
        attach(self.sockets[0].as_fd(), self.kind, places)
    }

    /// The socket at a place.
    pub fn at(&self, place: usize) -> Option<&ListenSocket> {
        self.sockets.get(place)
    }

    /// Where all of them listen.
    pub fn local_address(&self) -> &Address {
        self.sockets[0].local_address()
    }

    /// At which places something waits to be accepted.
    ///
    /// # Errors
    ///
    /// Those of poll(2).
    pub fn waiting(&self) -> io::Result<Vec<bool>> {
        let watched = |socket| PollFd::new(ListenSocket::as_fd(socket), PollFlags::POLLIN);
        let mut all: Vec<_> = self.sockets.iter().map(watched).collect();
        poll(&mut all, PollTimeout::ZERO)?;
        Ok(all.iter().map(|it| it.any().unwrap_or(false)).collect())
    }

    /// How many sockets of this machine have the address, ours included. (proc(5):
    /// /proc/net/tcp and its likes.)
    fn members(&self) -> io::Result<usize> {
        let (Address::Tcp(address) | Address::Udp(address)) = &self.spec.address else {
            return Ok(self.sockets.len());
        };
        let table = match (self.kind, address.ip()) {
            (Kind::Connections, IpAddr::V4(_)) => "/proc/self/net/tcp",
            (Kind::Connections, IpAddr::V6(_)) => "/proc/self/net/tcp6",
            (Kind::Datagrams, IpAddr::V4(_)) => "/proc/self/net/udp",
            (Kind::Datagrams, IpAddr::V6(_)) => "/proc/self/net/udp6",
        };
        // Without that table nobody can tell; then nobody has joined, as far as we know.
        let table = match fs::read_to_string(table) {
            Ok(table) => table,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let name = proc_name(*address);
        Ok(table.lines().filter(|line| is_bound(line, &name, self.kind)).count())
    }
}

/// An address as the kernel's tables print it: the words of the IP address in the machine's byte
/// order, the port as a number, both in hexadecimal digits.
fn proc_name(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|it| u32::from_ne_bytes([it[0], it[1], it[2], it[3]]));
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{ip}:{:04X}", address.port())
}

/// Whether a line of a table is a socket that listens at (or is bound to, for UDP) an address.
fn is_bound(line: &str, name: &str, kind: Kind) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next();
    let state = fields.nth(1);
    let wanted = match kind {
        Kind::Connections => "0A",
        Kind::Datagrams => "07",
    };
    local == Some(name) && state == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernels_tables_are_understood() {
        let name = proc_name(SocketAddr::from(([127, 0, 0, 1], 8000)));
        assert_eq!(name, "0100007F:1F40");
        let line = |state| {
            format!("   0: 0100007F:1F40 00000000:0000 {state} 00000000:00000000 00:00000000 0 0 1")
        };
        assert!(is_bound(&line("0A"), &name, Kind::Connections));
        assert!(!is_bound(&line("01"), &name, Kind::Connections));
        assert!(is_bound(&line("07"), &name, Kind::Datagrams));
        let head = "  sl  local_address rem_address   st tx_queue rx_queue";
        assert!(!is_bound(head, &name, Kind::Connections));
    }
}
