//! A worker that does not react is replaced, and the others serve meanwhile.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;

use crate::client::Target;
use crate::harness::{PATIENCE, WORKERS, listening, others, said, start};
use crate::runtime::Runtime;
use crate::transcript::{End, Line, ends};

pub(crate) fn a_blocked_worker_is_replaced_and_the_others_serve_meanwhile(runtime: Runtime) {
    let example = start(runtime, "watchdog", &["127.0.0.1:0", "--every", "0.25", "--missed", "12"]);
    assert_eq!(said(&example, "budgets "), "boot=30s run=3s (12 pings)");
    let server = listening(&example, WORKERS);
    let mut blocking = TcpStream::connect(server).expect("it listens");
    blocking.set_read_timeout(Some(PATIENCE)).expect("it is some time");
    blocking.write_all(b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n").expect("it is connected");
    let victim: u32 = example.wait("a worker to block", |lines| {
        let id = |line: &str| line.strip_prefix("worker ")?.strip_suffix(" blocks")?.parse().ok();
        others(lines).find_map(id)
    });
    // Some of these are handed to the blocked worker, which never takes them.
    let (answered, answers) = channel();
    for _ in 0..16 {
        let answered = answered.clone();
        thread::spawn(move || answered.send(Target::Tcp(server).ask()));
    }
    drop(answered);
    let mut servers: Vec<_> = answers.iter().take(8).collect();
    example.wait("anything", |lines| {
        assert!(ends(lines).is_empty(), "it was killed before others had served");
        Some(())
    });
    servers.extend(answers);
    assert_eq!(servers.len(), 16);
    for server in servers {
        assert_ne!(server.expect("nobody has read of it").worker().0, victim);
    }
    said(&example, &format!("worker {victim} does not answer (12 pings)"));
    example.wait_for(&[Line::Exit { id: victim, end: End::killed(false) }]);
    let end = blocking.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(io::ErrorKind::ConnectionReset)), "{end:?}");
    listening(&example, WORKERS);
    assert!(example.workers().contains_key(&5));
    let lines = example.finish();
    assert_eq!(ends(&lines).len(), WORKERS + 1, "and nobody else was killed");
}

pub(crate) fn to_start_may_take_longer_than_to_answer(runtime: Runtime) {
    let example = start(
        runtime,
        "watchdog",
        &["127.0.0.1:0", "--slow", "4", "--every", "0.2", "--missed", "15"],
    );
    assert_eq!(said(&example, "budgets "), "boot=30s run=3s (15 pings)");
    listening(&example, WORKERS);
    let lines = example.finish();
    assert_eq!(ends(&lines).len(), WORKERS, "and nobody was killed");
}

pub(crate) fn but_not_for_ever(runtime: Runtime) {
    let options = ["127.0.0.1:0", "--slow", "3600", "--boot", "0.5", "--every", "0.1"];
    let example = start(runtime, "watchdog", &options);
    for id in 1..=WORKERS as u32 + 1 {
        said(&example, &format!("worker {id} does not listen (5 rounds)"));
        example.wait_for(&[Line::Exit { id, end: End::killed(false) }]);
    }
    let lines = example.finish();
    assert!(!lines.iter().any(|line| matches!(line, Line::Listening { .. })), "{lines:#?}");
}
