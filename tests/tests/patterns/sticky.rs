//! A client has its worker, whatever becomes of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use crate::example::{Example, Signal, send};
use crate::harness::{WORKERS, connect_from, crowd, exchange, expect_accepted, said, start};
use crate::processes::expect_stopped;
use crate::runtime::Runtime;
use crate::transcript::{End, Line, ends};

pub(crate) fn a_client_keeps_its_worker_when_another_one_is_replaced(runtime: Runtime) {
    let (example, server) = serving(runtime);
    let home = homes(server);
    for (client, worker) in &home {
        assert_eq!(visit(*client, server), (*worker, 2));
    }
    let victim = home[&client(0)];
    kill(&example, victim);
    example.wait_for(&[Line::Online { id: 5 }]);
    for (client, worker) in &home {
        let expected = if *worker == victim { (5, 1) } else { (*worker, 3) };
        assert_eq!(visit(*client, server), expected, "{client}");
    }
    example.finish();
}

pub(crate) fn what_a_worker_had_not_taken_when_it_died_goes_to_the_next_choice(runtime: Runtime) {
    let (example, server) = serving(runtime);
    let client = client(0);
    let (victim, _) = visit(client, server);
    let pid = pid_of(&example, victim);
    send(pid, Signal::SIGSTOP);
    expect_stopped(pid);
    let connection = connect_from(client, server).expect("it listens");
    expect_accepted(&connection);
    send(pid, Signal::SIGKILL);
    let (worker, visits) = visit_on(connection);
    assert_ne!(worker, victim);
    assert_eq!(visits, 1);
    example.wait_for(&[Line::Exit { id: victim, end: End::killed(false) }, Line::Online { id: 5 }]);
    example.finish();
}

pub(crate) fn workers_that_leave_one_after_the_other_lose_no_connection(runtime: Runtime) {
    let (example, server) = serving(runtime);
    let workers: BTreeSet<u32> = homes(server).into_values().collect();
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            crowd(1_200, 8, |number| {
                visit(client(number % CLIENTS), server);
            });
        });
        for (place, id) in (5..).zip(&workers) {
            send(pid_of(&example, *id), Signal::SIGTERM);
            example.wait_for(&[
                Line::Exit { id: *id, end: End::GRACEFUL },
                Line::Online { id: place },
            ]);
        }
        clients.join().expect("all are answered");
    });
    homes(server);
    assert_eq!(ends(&example.finish()).len(), 2 * WORKERS);
}

fn serving(runtime: Runtime) -> (Example, SocketAddr) {
    let example = start(runtime, "sticky", &["127.0.0.1:0"]);
    let online: Vec<Line> = (1..=4).map(|id| Line::Online { id }).collect();
    example.wait_for(&online);
    let server = said(&example, "accepting ").parse().expect("an address");
    (example, server)
}

/// Which worker each client has. All workers have some.
fn homes(server: SocketAddr) -> BTreeMap<Ipv4Addr, u32> {
    let home = |number| (client(number), visit(client(number), server).0);
    let homes: BTreeMap<_, _> = (0..CLIENTS).map(home).collect();
    assert_eq!(homes.values().collect::<BTreeSet<_>>().len(), WORKERS, "{homes:?}");
    homes
}

/// One request: which worker answers, and for the how manyth time.
fn visit(client: Ipv4Addr, server: SocketAddr) -> (u32, u64) {
    visit_on(connect_from(client, server).expect("it listens"))
}

fn visit_on(connection: TcpStream) -> (u32, u64) {
    let (status, body) = exchange(connection, "/").expect("it is answered");
    assert_eq!(status, 200);
    match *body.split_whitespace().collect::<Vec<_>>() {
        ["worker", id, "pid", _, "visit", visits] => {
            (id.parse().expect("a number"), visits.parse().expect("a number"))
        }
        _ => panic!("{body:?}"),
    }
}

fn kill(example: &Example, worker: u32) {
    send(pid_of(example, worker), Signal::SIGKILL);
    example.wait_for(&[Line::Exit { id: worker, end: End::killed(false) }]);
}

fn pid_of(example: &Example, worker: u32) -> u32 {
    example.wait("the worker", |lines| {
        lines.iter().find_map(|line| match line {
            Line::Fork { id, pid } if *id == worker => Some(*pid),
            _ => None,
        })
    })
}

fn client(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).expect("there are few"))
}

const CLIENTS: usize = 32;
