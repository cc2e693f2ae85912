//! What is said to the primary is known to all workers.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::example::{Example, Signal, send};
use crate::harness::{Folder, WORKERS, get, listening, others};
use crate::runtime::Runtime;

pub(crate) fn all_workers_know_the_newest_line_the_later_ones_too(runtime: Runtime) {
    let folder = Folder::new(runtime, "announce");
    let (example, mut input) = serving(runtime, &folder);
    let server = listening(&example, WORKERS);
    let mut announce = |line: &str| writeln!(input, "{line}").expect("somebody reads");
    announce("maintenance at noon");
    all_know(&example, server, [1, 2, 3, 4], "maintenance at noon");
    send(example.workers()[&1], Signal::SIGKILL);
    all_know(&example, server, [2, 3, 4, 5], "maintenance at noon");
    announce("maintenance is over");
    all_know(&example, server, [2, 3, 4, 5], "maintenance is over");
    example.finish();
}

/// The example with a pipe for its standard input.
fn serving(runtime: Runtime, folder: &Folder) -> (Example, File) {
    let pipe = folder.path("input");
    let status = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts");
    assert!(status.success());
    // With both ends, so that neither side waits for the other.
    let input = File::options().read(true).write(true).open(&pipe).expect("it is a pipe");
    let mut command = Example::command(Path::new("sh"));
    command
        .args(["-c", "exec \"$0\" 127.0.0.1:0 <\"$1\""])
        .arg(runtime.program("announce"))
        .arg(&pipe);
    (Example::launch(&mut command), input)
}

/// Waits until all these workers have said that they know it, and asks them.
fn all_know(example: &Example, server: SocketAddr, workers: [u32; WORKERS], line: &str) {
    let wanted = workers.map(|id| format!("worker {id} knows: {line}"));
    example.wait(&format!("{wanted:?}"), |lines| {
        wanted.iter().all(|it| others(lines).any(|line| line == it)).then_some(())
    });
    listening(example, WORKERS);
    for _ in 0..2 * WORKERS {
        assert_eq!(get(server, "/").expect("it listens"), (200, format!("{line}\n")));
    }
}
