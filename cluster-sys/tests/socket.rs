//! Listening sockets: addresses, files, errors, shortages.

mod support;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use cluster_core::{Address, ListenSpec, UnixName};
use cluster_sys::socket::{AcceptError, Accepted, ListenSocket};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};
use nix::unistd::{Uid, setuid};

use crate::support::{
    Folder, alone, descriptors, limit_descriptors, limit_with_room_for, wait_readable,
};

#[test]
fn port_zero_becomes_the_real_port_and_the_peer_is_told() {
    let (listener, address) = local();
    assert_ne!(address.port(), 0);
    let client = TcpStream::connect(address).unwrap();
    let accepted = next(&listener);
    assert_eq!(accepted.peer, Some(client.local_addr().unwrap()));
    assert_flags(&accepted.socket);
}

#[test]
fn a_listener_is_non_blocking_close_on_exec_and_may_reuse_its_address() {
    let (listener, _) = local();
    assert_flags(&listener);
    assert!(getsockopt(&listener, sockopt::ReuseAddr).unwrap());
    assert!(getsockopt(&listener, sockopt::AcceptConn).unwrap());
    assert_would_block(&listener);
}

#[test]
fn who_looks_first_accepts_what_waits_and_makes_no_attempt_in_vain() {
    let (listener, address) = local();
    let copy = listener.as_fd().try_clone_to_owned().unwrap();
    let lent = ListenSocket::lent(copy, listener.local_address().clone());
    assert_eq!(lent.local_address(), listener.local_address());
    let vain = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
    assert!(lent.accept_waiting().is_err_and(vain));
    let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    for client in &clients {
        wait_readable(&lent);
        let accepted = lent.accept_waiting().unwrap();
        assert_eq!(accepted.peer, Some(client.local_addr().unwrap()));
        assert_flags(&accepted.socket);
    }
    assert!(lent.accept_waiting().is_err_and(vain));
    // The other sharer's is the same queue, and lives on.
    drop(lent);
    let _client = TcpStream::connect(address).unwrap();
    next(&listener);
    shutdown(listener.as_fd().as_raw_fd(), Shutdown::Both).unwrap();
    let broken = |error: io::Error| error.raw_os_error() == Some(libc::EINVAL);
    assert!(listener.accept_waiting().is_err_and(broken));
}

/// Whoever names the wrong number does not change what is somebody else's.
#[test]
fn what_is_inherited_and_is_no_listener_stays_as_it_is() {
    let (reader, _writer) = io::pipe().unwrap();
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    for fd in [reader.as_fd(), datagrams.as_fd()] {
        let number = fd.as_raw_fd().try_into().unwrap();
        ListenSocket::bind(&ListenSpec::new(Address::Inherited(number))).unwrap_err();
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }
}

#[test]
fn an_ipv6_listener_takes_ipv4_too() {
    let any = "[::]:0".parse().unwrap();
    let listener = match ListenSocket::bind(&ListenSpec::new(Address::Tcp(any))) {
        Ok(listener) => listener,
        // A machine without IPv6.
        Err(error) => {
            let errno = error.raw_os_error();
            assert!(matches!(errno, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)), "{error}");
            return;
        }
    };
    let port = tcp(&listener).port();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let peer = next(&listener).peer.unwrap();
    assert_eq!(peer.port(), client.local_addr().unwrap().port());
    assert_eq!(peer.ip().to_canonical(), Ipv4Addr::LOCALHOST);
}

#[test]
fn an_address_in_use_is_refused() {
    let (_listener, address) = local();
    let error = ListenSocket::bind(&ListenSpec::new(Address::Tcp(address))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let address = "192.0.2.1:0".parse().unwrap();
    let error = ListenSocket::bind(&ListenSpec::new(Address::Tcp(address))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_unix_socket_has_a_file_while_it_is_open() {
    let folder = Folder::new();
    let path = folder.join("s");
    for close in [ListenSocket::close, |listener| {
        drop(listener);
        Ok(())
    }] {
        let listener = bind(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(listener.local_address(), &Address::Unix(name(&path)));
        assert_flags(&listener);
        let _client = UnixStream::connect(&path).unwrap();
        let accepted = next(&listener);
        assert_eq!(accepted.peer, None);
        assert_flags(&accepted.socket);
        close(listener).unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn a_file_that_took_the_place_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("s");
    let listener = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let successor = bind(&path).unwrap();
    listener.close().unwrap();
    assert!(path.exists());
    successor.close().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_gone_already_is_no_error() {
    let folder = Folder::new();
    let path = folder.join("s");
    let listener = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    listener.close().unwrap();
}

#[test]
fn a_socket_file_without_listener_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(path.exists());
}

#[test]
fn a_unix_path_without_its_folder_is_not_found() {
    let folder = Folder::new();
    assert_eq!(bind(&folder.join("missing/s")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_folder_without_permission_is_an_error() {
    alone("a_folder_without_permission_is_an_error", || {
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(65534)).unwrap();
        }
        let folder = Folder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(bind(&folder.join("s")).unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn a_relative_path_is_found_again_after_a_chdir() {
    alone("a_relative_path_is_found_again_after_a_chdir", || {
        let folder = Folder::new();
        std::env::set_current_dir(folder.path()).unwrap();
        let listener = bind(Path::new("s")).unwrap();
        assert_eq!(listener.local_address(), &Address::Unix(UnixName(b"s".to_vec())));
        assert!(folder.join("s").exists());
        std::env::set_current_dir("/").unwrap();
        listener.close().unwrap();
        assert!(!folder.join("s").exists());
    });
}

#[test]
fn an_abstract_name_has_no_file() {
    let text = format!("cluster-sys-test-{}", std::process::id());
    let spec = ListenSpec::new(Address::Unix(UnixName([b"\0", text.as_bytes()].concat())));
    let listener = ListenSocket::bind(&spec).unwrap();
    assert_eq!(listener.local_address(), &spec.address);
    let address = UnixAddr::from_abstract_name(&text).unwrap();
    let _client = UnixStream::connect_addr(&address).unwrap();
    assert_eq!(next(&listener).peer, None);
    assert_eq!(ListenSocket::bind(&spec).unwrap_err().kind(), ErrorKind::AddrInUse);
    listener.close().unwrap();
    ListenSocket::bind(&spec).unwrap();
}

#[test]
fn a_bind_that_fails_leaves_no_descriptor() {
    alone("a_bind_that_fails_leaves_no_descriptor", || {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let before = descriptors();
        let spec = ListenSpec::new(Address::Tcp(other.local_addr().unwrap()));
        ListenSocket::bind(&spec).unwrap_err();
        bind(Path::new("/nowhere/s")).unwrap_err();
        bind(Path::new(&"x".repeat(200))).unwrap_err();
        limit_descriptors(limit_with_room_for(0));
        let error = ListenSocket::bind(&spec).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        limit_descriptors(1024);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn without_descriptors_a_connection_goes_on_waiting() {
    alone("without_descriptors_a_connection_goes_on_waiting", || {
        let (listener, address) = local();
        let client = TcpStream::connect(address).unwrap();
        limit_descriptors(limit_with_room_for(0));
        for _ in 0..3 {
            match listener.accept().unwrap_err() {
                AcceptError::Exhausted(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                }
                other => panic!("{other:?}"),
            }
        }
        limit_descriptors(1024);
        assert_eq!(next(&listener).peer, Some(client.local_addr().unwrap()));
        assert_would_block(&listener);
    });
}

#[test]
fn a_socket_that_is_shut_down_is_broken() {
    let (listener, _) = local();
    shutdown(listener.as_fd().as_raw_fd(), Shutdown::Both).unwrap();
    let error = listener.accept().unwrap_err();
    assert!(matches!(error, AcceptError::Broken(_)), "{error:?}");
}

fn local() -> (ListenSocket, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = ListenSocket::bind(&ListenSpec::new(Address::Tcp(any))).unwrap();
    let address = tcp(&listener);
    (listener, address)
}

fn tcp(listener: &ListenSocket) -> SocketAddr {
    match listener.local_address() {
        Address::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

fn name(path: &Path) -> UnixName {
    UnixName(path.as_os_str().as_bytes().to_vec())
}

fn bind(path: &Path) -> io::Result<ListenSocket> {
    ListenSocket::bind(&ListenSpec::new(Address::Unix(name(path))))
}

#[track_caller]
fn next(listener: &ListenSocket) -> Accepted {
    wait_readable(listener);
    listener.accept().unwrap()
}

#[track_caller]
fn assert_would_block(listener: &ListenSocket) {
    let error = listener.accept().unwrap_err();
    assert!(matches!(error, AcceptError::WouldBlock), "{error:?}");
}

/// Non-blocking and close-on-exec.
#[track_caller]
fn assert_flags(fd: impl AsFd) {
    let of_descriptor = FdFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFD).unwrap());
    let of_file = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL).unwrap());
    assert!(of_descriptor.contains(FdFlag::FD_CLOEXEC));
    assert!(of_file.contains(OFlag::O_NONBLOCK));
}
