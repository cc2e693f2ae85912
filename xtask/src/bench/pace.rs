//! Connections at a fixed rate, one after another, each with its time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// What is asked.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Microseconds from the moment at which each connection was due to the end of its answer: one
/// that waits for its predecessor is late, too. Sorted.
pub(super) fn run(address: SocketAddr, connections: u64, every: Duration) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut due = Instant::now();
    for _ in 0..connections {
        due += every;
        wait_until(due);
        exchange(address)?;
        times.push(due.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Waits until `due`. A thread may be woken earlier than that.
fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

fn exchange(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "that is no answer");
    Ok(())
}
