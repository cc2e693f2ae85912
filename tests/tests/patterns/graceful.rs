//! What was begun is finished, but not for ever.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::example::{Ended, Example, Signal, look};
use crate::harness::{PATIENCE, WORKERS, answer, listening, start};
use crate::runtime::Runtime;
use crate::transcript::{End, Line, ends};

pub(crate) fn what_was_begun_is_finished_and_what_hangs_is_killed_at_the_limit(runtime: Runtime) {
    let example = start(runtime, "graceful", &["127.0.0.1:0", "3"]);
    let server = listening(&example, WORKERS);
    let mut hanging = begin_upload(server).expect("it listens");
    let mut upload = begin_upload(server).expect("it listens");
    // As systemd does: workers do not take it personally.
    example.signal_all(Signal::SIGTERM);
    all_drain(&example);
    look("the end of the listener", || TcpStream::connect(server).err());
    upload.write_all(b"12345").expect("it is read");
    let (status, body) = answer(&mut upload).expect("it was begun");
    assert_eq!(status, 200);
    assert!(body.ends_with("got 5 bytes\n"), "{body}");
    let end = hanging.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(io::ErrorKind::ConnectionReset)), "{end:?}");
    one_was_killed(example);
}

pub(crate) fn a_second_signal_does_not_wait_for_the_limit(runtime: Runtime) {
    let example = start(runtime, "graceful", &["127.0.0.1:0", "3600"]);
    let server = listening(&example, WORKERS);
    let hanging = begin_upload(server).expect("it listens");
    example.signal(Signal::SIGTERM);
    all_drain(&example);
    example.wait("three to leave", |lines| (ends(lines).len() == WORKERS - 1).then_some(()));
    example.signal(Signal::SIGINT);
    one_was_killed(example);
    drop(hanging);
}

/// A request for whose body the server already waits.
fn begin_upload(server: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\
          Connection: close\r\nExpect: 100-continue\r\n\r\n",
    )?;
    let mut go_on = [0; GO_ON.len()];
    stream.read_exact(&mut go_on)?;
    assert_eq!(go_on, *GO_ON);
    Ok(stream)
}

fn all_drain(example: &Example) {
    let ids: BTreeSet<u32> = example.wait("all workers to drain", |lines| {
        let draining = lines.iter().filter_map(|line| match line {
            Line::Draining { id } => Some(*id),
            _ => None,
        });
        Some(draining.collect::<BTreeSet<_>>()).filter(|ids| ids.len() == WORKERS)
    });
    assert_eq!(ids, BTreeSet::from([1, 2, 3, 4]));
}

/// All have ended, and one of them not by itself.
fn one_was_killed(example: Example) {
    let Ended { status, lines, errors } = example.ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
    let ends: Vec<End> = ends(&lines).into_values().collect();
    assert_eq!(ends.len(), WORKERS, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == End::killed(true)).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == End::GRACEFUL).count(), WORKERS - 1, "{ends:?}");
}

const GO_ON: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
