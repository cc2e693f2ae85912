//! Several sockets on one address, over which the kernel spreads what comes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use cluster_core::{Address, ListenSpec};
use nix::errno::Errno;

use super::ListenSocket;
use super::spread::{Kind, attach};
use crate::limits::PORTS_TRIED;

/// A group of listening (or, for UDP, bound) sockets with `SO_REUSEPORT` on one address, of
/// which a program chooses one for each connection or datagram.
///
/// The kernel knows the sockets by the order in which they joined; none is closed before all
/// are. Programs of other users cannot join. One of the same user can, and gets nothing: the
/// program does not name it. But where the group is at all addresses of the machine, one of the
/// same user may bind a single one of them with `SO_REUSEPORT`, and gets what comes to that.
#[derive(Debug)]
pub struct ListenGroup {
    spec: ListenSpec,
    kind: Kind,
    sockets: Vec<ListenSocket>,
}

impl ListenGroup {
    /// A group of one socket. An address that is in use is an error, also if it is used with
    /// `SO_REUSEPORT`, and if all who use it reuse addresses. If two bind the same one at the same
    /// moment, both may hear so.
    ///
    /// # Errors
    ///
    /// As for [`ListenSocket::bind`]; `EOPNOTSUPP` for an address that is neither TCP nor UDP.
    pub fn bind(spec: &ListenSpec) -> io::Result<Self> {
        Self::bind_found(spec, ListenSocket::probe)
    }

    /// `probe` says where nobody is bound, with the real port instead of port 0. With the option,
    /// bind(2) would let us join whoever has it already; and for port 0, the kernel may choose a
    /// port that somebody has (UDP).
    fn bind_found(
        spec: &ListenSpec,
        mut probe: impl FnMut(&ListenSpec) -> io::Result<Address>,
    ) -> io::Result<Self> {
        let (kind, asked) = match &spec.address {
            Address::Tcp(address) => (Kind::Connections, *address),
            Address::Udp(address) => (Kind::Datagrams, *address),
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        let mut tries = if asked.port() == 0 { PORTS_TRIED } else { 1 };
        loop {
            tries -= 1;
            match probe(spec).and_then(|found| Self::bind_alone(spec, kind, found)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                bound => return bound,
            }
        }
    }

    /// Whoever has bound the address since it was found free has a socket in front of ours. The
    /// program would be theirs, too, and so it comes only when nobody else is there. Those who come
    /// later are behind ours, where it sends nothing.
    fn bind_alone(spec: &ListenSpec, kind: Kind, found: Address) -> io::Result<Self> {
        let spec = ListenSpec { address: found, ..spec.clone() };
        let first = ListenSocket::bind_reusing_port(&spec)?;
        let group = Self { spec, kind, sockets: vec![first] };
        group.refuse_more_than(1)?;
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
        self.refuse_more_than(self.sockets.len() + 1)?;
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

    /// How many connections wait to be accepted, at each place.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2): for datagrams, that is not known.
    pub fn queued(&self) -> io::Result<Vec<u32>> {
        self.sockets.iter().map(ListenSocket::queued).collect()
    }

    /// With others among ours, places are not what they seem.
    fn refuse_more_than(&self, ours: usize) -> io::Result<()> {
        if self.members()? > ours { Err(Errno::EADDRINUSE.into()) } else { Ok(()) }
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
        Ok(count(&table, &proc_name(*address), self.kind))
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

/// How many sockets in a table listen at (or are bound to, for UDP) an address. While it is read,
/// sockets come and go, and the kernel may show one twice: what tells them apart is the inode.
fn count(table: &str, name: &str, kind: Kind) -> usize {
    // Datagrams also come to sockets that are connected.
    let counts = |state: &str| kind == Kind::Datagrams || state == LISTENING;
    let inode = |line: &'_ str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let inode = fields.nth(5)?.parse::<u64>().ok()?;
        (local == name && counts(state)).then_some(inode)
    };
    table.lines().filter_map(inode).collect::<BTreeSet<_>>().len()
}

/// A state as the kernel's tables print it (`TCP_LISTEN`).
const LISTENING: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// Another cluster binds what was found free before we do: whatever it has is its own.
    #[test]
    fn an_address_that_others_take_after_the_probe_is_in_use() {
        for address in HOSTS {
            let mut others = Vec::new();
            let bound = ListenGroup::bind_found(&ListenSpec::new(address(0)), |spec| {
                taken(spec, &mut others)
            });
            assert_in_use(bound);
            assert_eq!(others.len(), PORTS_TRIED);
            let other = others.pop().unwrap();
            let mut probes = 0;
            let bound = ListenGroup::bind_found(&other.spec, |spec| {
                probes += 1;
                Ok(spec.address.clone())
            });
            assert_in_use(bound);
            assert_eq!(probes, 1, "there is no other port");
            // As it was spread before.
            assert_eq!(reached(&other), [false, true]);
        }
    }

    /// Where any port will do, there is another one.
    #[test]
    fn a_port_that_others_take_after_the_probe_is_left_to_them() {
        for address in HOSTS {
            let (mut others, mut probes) = (Vec::new(), 0);
            let group = ListenGroup::bind_found(&ListenSpec::new(address(0)), |spec| {
                probes += 1;
                if probes < PORTS_TRIED {
                    taken(spec, &mut others)
                } else {
                    ListenSocket::probe(spec)
                }
            });
            let group = group.unwrap();
            assert_eq!(probes, PORTS_TRIED);
            assert!(others.iter().all(|other| other.local_address() != group.local_address()));
            assert_eq!(reached(&group), [true]);
        }
    }

    /// Finds a free address, and is at once overtaken by a group of two.
    fn taken(spec: &ListenSpec, others: &mut Vec<ListenGroup>) -> io::Result<Address> {
        let address = ListenSocket::probe(spec)?;
        let mut other = ListenGroup::bind(&ListenSpec::new(address.clone()))?;
        other.open()?;
        other.spread(&[1])?;
        others.push(other);
        Ok(address)
    }

    /// Sends a group something to accept or receive, and says where it has come.
    fn reached(group: &ListenGroup) -> Vec<bool> {
        match *group.local_address() {
            Address::Tcp(address) => drop(TcpStream::connect(address).unwrap()),
            Address::Udp(address) => {
                let client = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
                client.send_to(b"x", address).unwrap();
            }
            ref other => panic!("{other}"),
        }
        let mut all: Vec<_> =
            group.sockets.iter().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)).collect();
        assert_eq!(poll(&mut all, PollTimeout::from(30_000_u16)), Ok(1));
        all.iter().map(|it| it.any().unwrap()).collect()
    }

    #[track_caller]
    fn assert_in_use(bound: io::Result<ListenGroup>) {
        assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernels_tables_are_understood() {
        let name = proc_name(SocketAddr::from(([127, 0, 0, 1], 8000)));
        assert_eq!(name, "0100007F:1F40");
        let line = |port: &str, state: &str, inode: u64| {
            let queues = "00000000:00000000 00:00000000 00000000";
            format!(
                "   0: 0100007F:{port} 00000000:0000 {state} {queues}  1000        0 {inode} 1\n"
            )
        };
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                    uid  timeout inode\n";
        let rows = [
            line("1F40", "0A", 7),
            line("1F41", "0A", 8),
            line("1F40", "01", 9),
            line("1F40", "07", 10),
            line("1F40", "0A", 11),
            // Shown once more.
            line("1F40", "0A", 7),
        ];
        let table = head.to_owned() + &rows.concat();
        assert_eq!(count(&table, &name, Kind::Connections), 2);
        assert_eq!(count(&table, &name, Kind::Datagrams), 4);
        assert_eq!(count(head, &name, Kind::Connections), 0);
    }

    /// Addresses of a host of their own: no client's own port can be in the way.
    const HOSTS: [fn(u16) -> Address; 2] = [
        |port| Address::Tcp(SocketAddr::from(([127, 0, 78, 1], port))),
        |port| Address::Udp(SocketAddr::from(([127, 0, 78, 2], port))),
    ];
}
