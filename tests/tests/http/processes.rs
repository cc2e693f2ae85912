//! What Linux tells about processes that do not tell it themselves.

use std::fs;
use std::io;
use std::net::SocketAddr;

use crate::client::Connection;
use crate::example::look;

/// The kinds of a process's open descriptors, sorted: files by name, all else without number.
pub(crate) fn descriptors(pid: u32) -> Vec<String> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    // One that is closed while they are listed is not open.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let kind = |name: &str| name.split_once(":[").map_or(name, |(kind, _)| kind).to_owned();
    let mut kinds: Vec<_> = links.map(|link| kind(&link.to_string_lossy())).collect();
    kinds.sort();
    kinds
}

/// Waits until a process has the descriptors `before` again.
pub(crate) fn expect_descriptors(pid: u32, before: &[String]) {
    look(&format!("{before:?} in process {pid}"), || (descriptors(pid) == before).then_some(()));
}

/// Waits until a process that was sent `SIGSTOP` has stopped, with all its threads.
pub(crate) fn expect_stopped(pid: u32) {
    look(&format!("process {pid} to stop"), || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let stopped = |stat: io::Result<String>| {
            // The state comes behind the name, which is in parentheses and may hold anything.
            stat.is_ok_and(|it| it.rsplit_once(") ").is_some_and(|(_, it)| it.starts_with('T')))
        };
        let mut stats = tasks.map(|task| fs::read_to_string(task?.path().join("stat")));
        stats.all(stopped).then_some(())
    });
}

/// Waits until the server has read all that was sent on a TCP connection over IPv4.
pub(crate) fn expect_read(connection: &Connection) {
    let (ours, theirs) = connection.ends.expect("a TCP connection");
    let (ours, theirs) = (hexadecimal(ours), hexadecimal(theirs));
    look("the server to read", || {
        let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
        table.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, _, queues, ..] = *words else { return None };
            let all_read = queues.ends_with(":00000000");
            (local == theirs && remote == ours && all_read).then_some(())
        })
    });
}

/// An address as `/proc/net/tcp` writes it: the bytes as they are in memory, read as a number.
fn hexadecimal(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is not of IPv4") };
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}
