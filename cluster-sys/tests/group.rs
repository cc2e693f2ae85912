//! Groups of sockets on one address: who may join, and who gets what.

mod support;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use cluster_core::{Address, ListenSpec, UnixName};
use cluster_sys::limits::PLACES_MAX;
use cluster_sys::socket::{AcceptError, ListenGroup, ListenSocket};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, getsockopt, recv, sockopt};
use nix::unistd::{Uid, setuid};

use crate::support::arrange::have_two_ports;
use crate::support::{alone, skip, wait_readable};

#[test]
fn connections_go_to_every_place_and_to_no_other() {
    let (mut group, address) = tcp_group();
    assert_eq!((group.open().unwrap(), group.open().unwrap()), (1, 2));
    assert_eq!(connect(&group, address, 60), [60, 0, 0], "nothing comes before it is asked for");
    group.spread(&[0, 1, 2]).unwrap();
    let all = connect(&group, address, 300);
    assert!(all.iter().all(|count| (50..150).contains(count)), "about even: {all:?}");
    group.spread(&[1]).unwrap();
    assert_eq!(connect(&group, address, 60), [0, 60, 0]);
    group.spread(&[2, 0]).unwrap();
    let two = connect(&group, address, 200);
    assert!(two[0] > 50 && two[1] == 0 && two[2] > 50, "{two:?}");
}

#[test]
fn connections_over_ipv6_are_spread_and_those_over_ipv4_with_them() {
    for (host, by) in [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")] {
        let any = SocketAddr::new(host.parse().unwrap(), 0);
        let Some(mut group) = bound(Address::Tcp(any)) else { continue };
        assert_eq!(group.open().unwrap(), 1);
        let Address::Tcp(address) = *group.local_address() else { panic!("tcp") };
        let address = SocketAddr::new(by.parse().unwrap(), address.port());
        group.spread(&[0, 1]).unwrap();
        let two = connect(&group, address, 200);
        assert!(two[0] > 50 && two[1] > 50, "{host} by {by}: {two:?}");
        group.spread(&[1]).unwrap();
        assert_eq!(connect(&group, address, 20), [0, 20], "{host} by {by}");
        // Others are seen in that table, too.
        let spec = ListenSpec::new(group.local_address().clone());
        let _intruder = ListenSocket::bind_reusing_port(&spec).unwrap();
        assert_eq!(group.open().unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}

#[test]
fn what_is_queued_stays_where_it_is_and_can_be_seen() {
    let (mut group, address) = tcp_group();
    group.open().unwrap();
    group.spread(&[1]).unwrap();
    assert_eq!(group.queued().unwrap(), [0, 0]);
    let _clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    wait_readable(group.at(1).unwrap().as_fd());
    group.spread(&[0]).unwrap();
    assert_eq!(group.queued().unwrap(), [0, 2]);
    assert!(matches!(group.at(0).unwrap().accept(), Err(AcceptError::WouldBlock)));
    for left in [1, 0] {
        assert!(group.at(1).unwrap().accept().is_ok());
        assert_eq!(group.queued().unwrap(), [0, left]);
    }
}

#[test]
fn a_port_in_use_is_in_use_however_it_is_used() {
    let (group, address) = tcp_group();
    let spec = ListenSpec::new(Address::Tcp(address));
    // Another cluster of the same user.
    assert_eq!(ListenGroup::bind(&spec).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(ListenSocket::bind(&spec).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(group);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let spec = ListenSpec::new(Address::Tcp(listener.local_addr().unwrap()));
    assert_eq!(ListenGroup::bind(&spec).unwrap_err().kind(), ErrorKind::AddrInUse);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let spec = ListenSpec::new(Address::Udp(socket.local_addr().unwrap()));
    assert_eq!(ListenGroup::bind(&spec).unwrap_err().kind(), ErrorKind::AddrInUse);
}

/// For UDP and port 0, the kernel may choose a port where it would let us join.
#[test]
fn any_port_is_one_that_nobody_has() {
    alone("any_port_is_one_that_nobody_has", || {
        if let Err(error) = have_two_ports() {
            return skip(&format!("only two ports to choose from: {error}"));
        }
        for address in [Address::Tcp, Address::Udp] {
            let spec = ListenSpec::new(address(SocketAddr::from(([0; 4], 0))));
            for _ in 0..10 {
                let groups = [(); 2].map(|()| ListenGroup::bind(&spec).unwrap());
                assert_ne!(groups[0].local_address(), groups[1].local_address());
                let none = ListenGroup::bind(&spec).unwrap_err();
                assert_eq!(none.kind(), ErrorKind::AddrInUse);
            }
        }
    });
}

#[test]
fn another_users_program_cannot_join() {
    alone("another_users_program_cannot_join", || {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let groups = [tcp_group().0, bound(Address::Udp(any)).unwrap()];
        if !Uid::effective().is_root() {
            return skip("only root can become another user");
        }
        setuid(Uid::from_raw(65_534)).unwrap();
        for group in &groups {
            let spec = ListenSpec::new(group.local_address().clone());
            let error = ListenSocket::bind_reusing_port(&spec).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{}", spec.address);
        }
    });
}

#[test]
fn a_program_of_the_same_user_that_joins_gets_nothing() {
    // Where no other test forks, nobody else has the intruder's socket for a moment.
    alone("a_program_of_the_same_user_that_joins_gets_nothing", || {
        let (mut group, address) = tcp_group();
        group.open().unwrap();
        group.spread(&[0, 1]).unwrap();
        let intruder =
            ListenSocket::bind_reusing_port(&ListenSpec::new(Address::Tcp(address))).unwrap();
        let two = connect(&group, address, 100);
        assert_eq!(two.iter().sum::<usize>(), 100, "all come to us");
        assert!(matches!(intruder.accept(), Err(AcceptError::WouldBlock)));
        // Where the next one would be cannot be said any more, and so there is none.
        assert_eq!(group.open().unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(intruder);
        assert_eq!(group.open().unwrap(), 2);
        group.spread(&[2]).unwrap();
        assert_eq!(connect(&group, address, 20), [0, 0, 20]);
    });
}

/// The kernel would put the next one with it instead of with ours.
#[test]
fn a_socket_for_one_peer_that_joins_is_seen() {
    // Where no other test forks, nobody else has the intruder's socket for a moment.
    alone("a_socket_for_one_peer_that_joins_is_seen", || {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut group = bound(Address::Udp(any)).unwrap();
        let spec = ListenSpec::new(group.local_address().clone());
        let intruder =
            UdpSocket::from(ListenSocket::bind_reusing_port(&spec).unwrap().into_socket());
        let peer = UdpSocket::bind(any).unwrap();
        intruder.connect(peer.local_addr().unwrap()).unwrap();
        assert_eq!(group.open().unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(intruder);
        assert_eq!(group.open().unwrap(), 1);
    });
}

#[test]
fn datagrams_of_one_peer_stay_together() {
    for (host, by) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")] {
        let any = SocketAddr::new(host.parse().unwrap(), 0);
        let Some(mut group) = bound(Address::Udp(any)) else { continue };
        (1..4).for_each(|place| assert_eq!(group.open().unwrap(), place));
        group.spread(&[0, 1, 2, 3]).unwrap();
        let Address::Udp(address) = *group.local_address() else { panic!("udp") };
        let address = SocketAddr::new(by.parse().unwrap(), address.port());
        let mut places = BTreeSet::new();
        for _ in 0..64 {
            let peer = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
            let went: BTreeSet<_> = (0..3).map(|_| datagram(&group, &peer, address)).collect();
            assert_eq!(went.len(), 1, "{host} by {by}: {went:?}");
            places.extend(went);
        }
        assert_eq!(places.len(), 4, "{host} by {by}: every socket has some peers");
    }
}

#[test]
fn only_ports_can_be_shared_so() {
    let unix = ListenSpec::new(Address::Unix(UnixName(b"\0group".to_vec())));
    let error = ListenGroup::bind(&unix).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EOPNOTSUPP as i32));
    let (group, _) = tcp_group();
    assert_eq!(group.spread(&[]).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32));
    let many: Vec<_> = (0..=PLACES_MAX).collect();
    assert_eq!(group.spread(&many).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32));
    assert!(group.spread(&many[..PLACES_MAX]).is_ok());
    // The longest programs are those that name none of the first places.
    let last: Vec<_> = (PLACES_MAX..2 * PLACES_MAX).collect();
    let datagrams = bound(Address::Udp(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    assert!([group.spread(&last), datagrams.spread(&last)].iter().all(Result::is_ok));
    assert!(getsockopt(group.at(0).unwrap(), sockopt::ReusePort).unwrap());
}

/// A group on a host of its own: no client's own port can be in the way.
fn tcp_group() -> (ListenGroup, SocketAddr) {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let host = [127, 0, 77, HOSTS.fetch_add(1, Ordering::Relaxed)];
    let spec = ListenSpec::new(Address::Tcp(SocketAddr::from((host, 0))));
    let group = ListenGroup::bind(&spec).unwrap();
    let Address::Tcp(address) = *group.local_address() else { panic!("tcp") };
    (group, address)
}

/// A group of one socket, but on a machine without IPv6.
fn bound(address: Address) -> Option<ListenGroup> {
    match ListenGroup::bind(&ListenSpec::new(address)) {
        Err(error) if is_without_ipv6(&error) => {
            skip("there is no IPv6");
            None
        }
        bound => Some(bound.unwrap()),
    }
}

/// Connects so often, and says how many connections came to which place.
fn connect(group: &ListenGroup, address: SocketAddr, times: usize) -> Vec<usize> {
    let clients: Vec<_> = (0..times).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut counts = Vec::new();
    while let Some(socket) = group.at(counts.len()) {
        let mut count = 0;
        while socket.accept().is_ok() {
            count += 1;
        }
        counts.push(count);
    }
    drop(clients);
    counts
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Sends a datagram, and says to which place it came.
fn datagram(group: &ListenGroup, peer: &UdpSocket, address: SocketAddr) -> usize {
    peer.send_to(b"x", address).unwrap();
    let mut byte = [0];
    let takes = |place: &usize| {
        let socket = group.at(*place).unwrap();
        let socket = socket.as_fd().as_raw_fd();
        recv(socket, &mut byte, MsgFlags::MSG_DONTWAIT).is_ok()
    };
    (0..4).find(takes).expect("loopback delivers at once")
}
