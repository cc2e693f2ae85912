//! The sums are right, and stay when workers die.

use std::net::SocketAddr;

use crate::example::{Example, Signal, look, send};
use crate::harness::{WORKERS, get, listening, others, said, start};
use crate::runtime::Runtime;
use crate::transcript::{End, Line};

pub(crate) fn sums_are_right_and_the_dead_are_in_them(runtime: Runtime) {
    let (example, server, status) = serving(runtime);
    ask(server, 25, 5);
    expect(status, "cluster_requests_total 30");
    expect(status, "cluster_errors_total 5");
    let (victim, pid) = example.workers().pop_first().expect("there are four");
    let last = value(status, &format!("cluster_worker_requests_total{{worker=\"{victim}\"}}"));
    assert!(last.is_some_and(|it| (7..=8).contains(&it)), "they take turns: {last:?}");
    send(pid, Signal::SIGKILL);
    example.wait_for(&[
        Line::Disconnect { id: victim },
        Line::Exit { id: victim, end: End::killed(false) },
    ]);
    assert_eq!(value(status, "cluster_requests_total"), Some(30));
    assert_eq!(value(status, "cluster_errors_total"), Some(5));
    assert_eq!(value(status, "cluster_deaths_total"), Some(1));
    assert!(!metrics(status).contains(&format!("worker=\"{victim}\"")));
    listening(&example, WORKERS);
    ask(server, 10, 0);
    expect(status, "cluster_requests_total 40");
    expect(status, "cluster_workers 4");
    let (code, table) = get(status, "/status").expect("it listens");
    assert_eq!(code, 200);
    assert!(table.ends_with("1 workers are gone\n"), "{table}");
    // What these are counted in is at most the last report.
    ask(server, 7, 1);
    let lines = example.finish();
    assert_eq!(others(&lines).last(), Some("total requests=48 errors=6"));
}

fn serving(runtime: Runtime) -> (Example, SocketAddr, SocketAddr) {
    let example = start(runtime, "status", &["127.0.0.1:0", "127.0.0.1:0", "0.05"]);
    let status = said(&example, "status ").parse().expect("an address");
    let server = listening(&example, WORKERS);
    (example, server, status)
}

/// So many requests that succeed, and so many that do not.
fn ask(server: SocketAddr, good: usize, bad: usize) {
    let pages = [("/", 200)].repeat(good).into_iter().chain([("/fail", 500)].repeat(bad));
    for (path, status) in pages {
        assert_eq!(get(server, path).expect("it listens").0, status);
    }
}

/// Waits for a line among the metrics.
fn expect(status: SocketAddr, line: &str) {
    look(line, || metrics(status).lines().any(|it| it == line).then_some(()));
}

fn value(status: SocketAddr, name: &str) -> Option<u64> {
    let metrics = metrics(status);
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn metrics(status: SocketAddr) -> String {
    let (code, page) = get(status, "/metrics").expect("it listens");
    assert_eq!(code, 200);
    page
}
