//! Groups of sockets on one address: who may join, and who gets what.

mod support;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use cluster_core::{Address, ListenSpec, UnixName};
use cluster_sys::socket::{AcceptError, ListenGroup, ListenSocket};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, getsockopt, recv, sockopt};
use nix::unistd::{Uid, setuid};

use crate::support::{alone, wait_readable};

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

#[test]
fn another_users_program_cannot_join() {
    alone("another_users_program_cannot_join", || {
        if !Uid::effective().is_root() {
            return;
        }
        let (_group, address) = tcp_group();
        setuid(Uid::from_raw(65_534)).unwrap();
        let spec = ListenSpec::new(Address::Tcp(address));
        let error = ListenSocket::bind_reusing_port(&spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_program_of_the_same_user_that_joins_gets_nothing() {
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
}

#[test]
fn datagrams_of_one_peer_stay_together() {
    for ip in ["127.0.0.1", "::1"] {
        let any = SocketAddr::new(ip.parse().unwrap(), 0);
        let mut group = ListenGroup::bind(&ListenSpec::new(Address::Udp(any))).unwrap();
        (1..4).for_each(|place| assert_eq!(group.open().unwrap(), place));
        group.spread(&[0, 1, 2, 3]).unwrap();
        let Address::Udp(address) = *group.local_address() else { panic!("udp") };
        let mut places = BTreeSet::new();
        for _ in 0..64 {
            let peer = UdpSocket::bind(any).unwrap();
            let went: BTreeSet<_> = (0..3).map(|_| datagram(&group, &peer, address)).collect();
            assert_eq!(went.len(), 1, "{ip}: {went:?}");
            places.extend(went);
        }
        assert_eq!(places.len(), 4, "{ip}: every socket has some peers");
    }
}

#[test]
fn only_ports_can_be_shared_so() {
    let unix = ListenSpec::new(Address::Unix(UnixName(b"\0group".to_vec())));
    let error = ListenGroup::bind(&unix).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EOPNOTSUPP as i32));
    let (group, _) = tcp_group();
    assert_eq!(group.spread(&[]).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32));
    let many: Vec<_> = (0..=2_000).collect();
    assert_eq!(group.spread(&many).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32));
    assert!(group.spread(&many[..2_000]).is_ok());
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
