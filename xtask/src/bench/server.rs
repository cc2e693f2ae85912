//! A program under test while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::contender::Contender;
use super::cpu;

/// For a program to come up, and to end when it has been asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// For a worker to listen that is only tried out.
const TRIAL: Duration = Duration::from_secs(5);

/// Between two looks at whether somebody listens.
const PAUSE: Duration = Duration::from_millis(1);

/// How a program is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// 0 is un-clustered.
    pub(super) workers: usize,
    pub(super) schedule: &'a str,
}

impl Case<'static> {
    /// One process, without a cluster.
    pub(super) const ALONE: Self = Self { workers: 0, schedule: "rr" };
}

/// A program that serves.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    child: Child,
    lines: Receiver<String>,
    /// The workers that have been started and have not ended, with their processes.
    alive: BTreeMap<u64, u32>,
    listening: BTreeSet<u64>,
}

impl Server {
    /// Starts `contender` and waits until all workers listen.
    pub(super) fn start(contender: &Contender, case: Case<'_>) -> Result<Self> {
        Self::up(contender, case, &[], Stdio::inherit(), PATIENCE)
            .with_context(|| format!("{case:?}"))
    }

    /// The same with `more` options, and without what it says when workers come to grief.
    pub(super) fn start_quietly(
        contender: &Contender,
        case: Case<'_>,
        more: &[&str],
    ) -> Result<Self> {
        Self::up(contender, case, more, Stdio::null(), PATIENCE)
            .with_context(|| format!("{case:?} {more:?}"))
    }

    /// Starts `contender` to see whether it takes `case`: what it says against it is not shown.
    pub(super) fn probe(contender: &Contender, case: Case<'_>) -> Result<()> {
        Self::up(contender, case, &[], Stdio::null(), TRIAL)?.stop()
    }

    fn up(
        contender: &Contender,
        case: Case<'_>,
        more: &[&str],
        errors: Stdio,
        patience: Duration,
    ) -> Result<Self> {
        let address = free_address()?;
        let mut child = contender
            .command()
            .args(["--listen", &address.to_string()])
            .args(["--workers", &case.workers.to_string(), "--schedule", case.schedule])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()?;
        let stdout = child.stdout.take().context("there is a standard output")?;
        let lines = follow(stdout);
        let (alive, listening) = (BTreeMap::new(), BTreeSet::new());
        let mut server = Self { address, child, lines, alive, listening };
        let deadline = Instant::now() + patience;
        if case.workers == 0 {
            server.wait_for_port(deadline)?;
        }
        while server.listening.len() < case.workers {
            server.wait_for_line(deadline)?;
        }
        Ok(server)
    }

    /// The process that was started first.
    pub(super) fn primary(&self) -> u32 {
        self.child.id()
    }

    /// The workers that have been started and have not ended, with their processes.
    pub(super) fn workers(&mut self) -> &BTreeMap<u64, u32> {
        while let Ok(line) = self.lines.try_recv() {
            self.learn(&line);
        }
        &self.alive
    }

    /// The primary and all processes that it has started, and these in turn.
    pub(super) fn family(&self) -> Result<Vec<u32>> {
        cpu::family(self.primary())
    }

    /// Asks the program to end, and waits for it.
    pub(super) fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.primary().try_into()?), Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it does not end when asked to"),
            }
        }
        self.child.wait()?;
        Ok(())
    }

    fn wait_for_port(&mut self, deadline: Instant) -> Result<()> {
        while TcpStream::connect(self.address).is_err() {
            ensure!(Instant::now() < deadline, "nobody listens on {}", self.address);
            match self.lines.recv_timeout(PAUSE) {
                Err(RecvTimeoutError::Disconnected) => bail!("it ended at once"),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
        Ok(())
    }

    fn wait_for_line(&mut self, deadline: Instant) -> Result<()> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => self.learn(&line),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended before all workers listened"),
            Err(RecvTimeoutError::Timeout) => bail!("not all workers listen in time"),
        }
        Ok(())
    }

    fn learn(&mut self, line: &str) {
        match News::parse(line) {
            Some(News::Fork(id, pid)) => {
                self.alive.insert(id, pid);
            }
            Some(News::Listening(id)) => {
                self.listening.insert(id);
            }
            Some(News::Exit(id)) => {
                self.alive.remove(&id);
            }
            None => {}
        }
    }
}

/// What has not ended is killed, with all it has started.
impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        for pid in self.family().unwrap_or_else(|_| vec![self.primary()]) {
            // It may have ended meanwhile.
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).ok();
        }
        self.child.wait().ok();
    }
}

/// A line that tells something of a worker.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Fork(u64, u32),
    Listening(u64),
    Exit(u64),
}

impl News {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (what, id) = (words.next()?, words.next()?.parse().ok()?);
        match what {
            "fork" => Some(Self::Fork(id, words.next()?.parse().ok()?)),
            "listening" => Some(Self::Listening(id)),
            "exit" => Some(Self::Exit(id)),
            _ => None,
        }
    }
}

/// The lines that come out of `pipe`, until its end.
fn follow(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // What cannot be read any more has ended. A program must be able to write though nobody
        // listens to what it says.
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    lines
}

/// An address at which nobody listens.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_of_workers() {
        assert_eq!(News::parse("fork 3 4711"), Some(News::Fork(3, 4711)));
        assert_eq!(News::parse("listening 3 127.0.0.1:8000"), Some(News::Listening(3)));
        assert_eq!(News::parse("exit 3 code=0 signal=-"), Some(News::Exit(3)));
        for other in ["primary 4711", "online 3", "fork 3", "fork", "", "exit now"] {
            assert_eq!(News::parse(other), None, "{other}");
        }
    }
}
