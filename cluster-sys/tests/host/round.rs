//! All of it together.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use cluster_sys::primary::Command;
use cluster_sys::{ExitStatus, WorkerState};
use socket2::SockRef;

use crate::driver::{Driver, connect, reply};
use crate::roles::program;
use crate::support::{alone, assert_no_children, descriptors, descriptors_of};

#[test]
fn a_full_round() {
    let mut driver = Driver::new(program());
    let (parts, address) = driver.fork_listening("serve");
    let facts = &parts.facts;
    assert_eq!((facts.state(), facts.is_connected()), (WorkerState::Listening, true));
    for _ in 0..3 {
        assert_eq!(driver.served(&mut connect(address)), Some(1));
    }
    let worker = facts.id();
    let (exit, exited) = reply();
    driver.order(Command::AwaitExit { worker, reply: exit });
    assert_eq!(driver.ask(|reply| Command::Workers { reply }).len(), 1);
    driver.order(Command::Disconnect { worker, kill_after: None });
    driver.expect("draining 1");
    driver.expect("disconnect 1");
    driver.expect("exit 1 code=0 signal=- exited_after_disconnect=true");
    driver.assert_nothing_else();
    assert_eq!(exited.try_recv(), Ok(ExitStatus::Code(0)));
    assert_eq!((facts.state(), facts.is_connected()), (WorkerState::Dead, false));
    assert_eq!(facts.exit_status(), Some(ExitStatus::Code(0)));
    assert_eq!(facts.exited_after_disconnect(), Some(true));
    assert!(!driver.host.has_workers() && parts.outbox.is_closed());
    assert_eq!(driver.host.poll_timeout(), None);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn two_primaries_in_one_process_do_not_meet() {
    let mut one = Driver::new(program());
    let mut other = Driver::new(program());
    let (_, here) = one.fork_listening("serve");
    let (_, there) = other.fork_listening("serve");
    other.fork_listening("serve");
    assert_ne!(here, there);
    for _ in 0..4 {
        assert_eq!(one.served(&mut connect(here)), Some(1));
        assert!(other.served(&mut connect(there)).is_some());
    }
    one.leave(&[1]);
    assert!(other.served(&mut connect(there)).is_some());
    other.leave(&[1, 2]);
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    alone("round::ten_thousand_connections_leave_nothing_behind", || {
        let at_first = descriptors();
        let mut driver = Driver::new(program());
        let (one, address) = driver.fork_listening("serve");
        let (two, _) = driver.fork_listening("serve");
        let workers = [&one, &two].map(|parts| parts.facts.pid().unwrap().0);
        let before = workers.map(descriptors_of);
        let own = descriptors();

        let (mut told, tell) = UnixStream::pair().unwrap();
        told.set_nonblocking(true).unwrap();
        let clients = thread::spawn(move || {
            let counts = thread::scope(|scope| {
                let client = || served_one_after_the_other(address, CONNECTIONS / CLIENTS);
                let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
                clients.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
            });
            // The end of `tell` is what the driver waits for.
            drop(tell);
            counts
        });
        driver.read_to_end(&mut told);
        drop(told);
        let counts = clients.join().unwrap();
        let [first, second] = [0, 1].map(|at| counts.iter().map(|it| it[at]).sum::<usize>());
        assert_eq!(first + second, CONNECTIONS);
        // How even it is depends on who is how busy.
        assert!(first > 0 && second > 0, "{first} and {second}");

        // The last word about the last connection may still be on its way.
        driver.until(|_| (descriptors() == own).then_some(()));
        assert_eq!(workers.map(descriptors_of), before);
        driver.leave(&[1, 2]);
        drop(driver);
        assert_eq!(descriptors(), at_first);
        assert_no_children();
    });
}

/// How often each of two workers has served.
fn served_one_after_the_other(address: std::net::SocketAddr, count: usize) -> [usize; 2] {
    let mut counts = [0; 2];
    for _ in 0..count {
        let mut client = connect(address);
        // No trace of it remains in the kernel.
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        counts[text.trim().parse::<usize>().unwrap() - 1] += 1;
    }
    counts
}

/// A worker may have much to do before it reads: what is written to it waits.
#[test]
fn a_worker_that_is_slow_misses_nothing() {
    let mut driver = Driver::new(program());
    let (parts, address) = driver.fork_listening("serve");
    driver.stop(&parts);
    let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
    driver.go_on(&parts);
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(1));
    }
    driver.leave(&[1]);
}

const CONNECTIONS: usize = 10_000;
const CLIENTS: usize = 4;
