//! What these tests have in common.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::client::Target;
use crate::example::{Ended, Example, look};
use crate::runtime::Runtime;
use crate::transcript::Line;

/// A running example.
pub(crate) fn start(runtime: Runtime, name: &str, arguments: &[&str]) -> Example {
    Example::launch(Example::command(&runtime.program(name)).args(arguments))
}

/// Where its workers listen, once there are so many.
pub(crate) fn listening(example: &Example, workers: usize) -> SocketAddr {
    match example.listening(workers) {
        Target::Tcp(address) => address,
        Target::Unix(path) => panic!("it listens on {}", path.display()),
    }
}

/// Waits for a line that begins so, and returns its rest.
pub(crate) fn said(example: &Example, beginning: &str) -> String {
    example.wait(beginning, |lines| {
        others(lines).find_map(|it| it.strip_prefix(beginning)).map(str::to_owned)
    })
}

/// What was said beside the events.
pub(crate) fn others(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| match line {
        Line::Other(text) => Some(text.as_str()),
        _ => None,
    })
}

/// What a program that measures has found: names and figures, and nothing else.
pub(crate) fn figures(Ended { status, lines, errors }: &Ended) -> Vec<(String, f64)> {
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
    let parse = |text: &str| {
        let (name, figure) = text.split_once(": ")?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    let figures: Vec<_> = others(lines).filter_map(parse).collect();
    assert_eq!(figures.len(), lines.len(), "{lines:#?}");
    figures
}

/// Asks for a page, and returns the answer's status and body.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    exchange(TcpStream::connect(server)?, path)
}

/// Asks for a page on a connection of its own.
pub(crate) fn exchange(mut stream: TcpStream, path: &str) -> io::Result<(u16, String)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    answer(&mut stream)
}

/// Connects as a client at `client`, an address of the loopback interface.
pub(crate) fn connect_from(client: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((client, 0)))?;
        socket.connect(server).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Waits until the server has accepted a TCP connection over IPv4.
pub(crate) fn expect_accepted(stream: &TcpStream) {
    let ours = stream.local_addr().and_then(hexadecimal).expect("it is connected");
    let theirs = stream.peer_addr().and_then(hexadecimal).expect("it is connected");
    look("the server to accept", || {
        let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
        table.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // What is not accepted yet has no inode.
            let [_, local, remote, _, _, _, _, _, _, inode, ..] = *words else { return None };
            (local == theirs && remote == ours && inode != "0").then_some(())
        })
    });
}

/// An address as `/proc/net/tcp` writes it: the bytes as they are in memory, read as a number.
fn hexadecimal(address: SocketAddr) -> io::Result<String> {
    let SocketAddr::V4(address) = address else { return Err(io::ErrorKind::Unsupported.into()) };
    let number = u32::from_ne_bytes(address.ip().octets());
    Ok(format!("{number:08X}:{:04X}", address.port()))
}

/// The status and the body of the answer that comes before the connection's end.
pub(crate) fn answer(stream: &mut TcpStream) -> io::Result<(u16, String)> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let parts = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
        Some((status.parse().ok()?, body.to_owned()))
    });
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, text))
}

/// Does `visit` so many times in all, so many at a time; each one has a number.
pub(crate) fn crowd(total: usize, at_a_time: usize, visit: impl Fn(usize) + Sync) {
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    match begun.fetch_add(1, SeqCst) {
                        number if number < total => visit(number),
                        _ => break,
                    }
                }
            });
        }
    });
}

/// A folder for one test, removed with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(runtime: Runtime, name: &str) -> Self {
        let name = format!("cluster-patterns-{}-{runtime}-{name}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).expect("nobody else has this name");
        Self(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || thread::panicking(), "{removed:?}");
    }
}

/// How many workers each example has that serves.
pub(crate) const WORKERS: usize = 4;

/// A connection that is silent for so long hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
