//! The load: many connections at a time from one thread.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::response::Response;

/// Each request of a connection but the last.
const MORE: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// The last request of a connection.
const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

/// For a request to a server that is not disturbed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The least time between two looks for connections that hang.
const LOOK: Duration = Duration::from_millis(250);

/// What is asked of a server: always so many connections at a time, until all are through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) connections: u64,
    pub(super) parallel: usize,
    /// After this, no more connections are begun.
    pub(super) limit: Duration,
    /// For one request, after which its connection counts as hung.
    pub(super) patience: Duration,
    pub(super) skew: Option<Skew>,
}

/// Every so-manieth connection is heavy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    pub(super) every: u64,
    /// The requests of a heavy connection, one after another.
    pub(super) requests: u32,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many requests each worker answered.
    pub(super) answers: BTreeMap<String, u64>,
    /// How long each connection of a single request took, in microseconds.
    pub(super) times: Vec<f64>,
    /// Connections that ended without a whole answer.
    pub(super) failed: u64,
    /// Connections that were given up.
    pub(super) hung: u64,
    /// Why the first one failed.
    pub(super) reason: Option<String>,
    pub(super) took: Duration,
}

impl Load {
    /// So many connections of one request each, for as long as it takes.
    pub(super) fn even(address: SocketAddr, connections: u64, parallel: usize) -> Self {
        let (limit, patience) = (Duration::MAX, PATIENCE);
        Self { address, connections, parallel, limit, patience, skew: None }
    }

    /// Brings this load upon the server.
    pub(super) fn run(&self) -> Result<Outcome> {
        let mut run = Run {
            load: *self,
            poll: Poll::new()?,
            slots: (0..self.parallel).map(|_| None).collect(),
            started: Instant::now(),
            begun: 0,
            ended: 0,
            outcome: Outcome::default(),
        };
        run.go()?;
        run.outcome.took = run.started.elapsed();
        Ok(run.outcome)
    }
}

struct Run {
    load: Load,
    poll: Poll,
    slots: Vec<Option<Connection>>,
    started: Instant,
    begun: u64,
    ended: u64,
    outcome: Outcome,
}

impl Outcome {
    /// Says so if something went wrong.
    pub(super) fn flawless(self) -> Result<()> {
        let Self { failed, hung, reason, .. } = self;
        let reason = reason.unwrap_or_default();
        ensure!(failed + hung == 0, "{failed} connections failed, {hung} hung ({reason})");
        Ok(())
    }

    /// Answers of the busiest worker for each one of the idlest, of `workers` that there are.
    pub(super) fn evenness(&self, workers: usize) -> f64 {
        let busiest = self.answers.values().max().copied().unwrap_or_default();
        let idlest = match self.answers.len() < workers {
            true => 0,
            false => self.answers.values().min().copied().unwrap_or_default(),
        };
        busiest as f64 / idlest as f64
    }
}

impl Run {
    fn go(&mut self) -> Result<()> {
        for slot in 0..self.slots.len() {
            self.begin(slot)?;
        }
        let mut events = Events::with_capacity(self.slots.len().max(1));
        let mut looked = Instant::now();
        while self.ended < self.load.connections {
            match self.poll.poll(&mut events, Some(LOOK)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                self.go_on(event.token().0)?;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.give_up()?;
            }
        }
        Ok(())
    }

    /// Begins connections in `slot` until one is under way, or none is left.
    fn begin(&mut self, slot: usize) -> Result<()> {
        while self.slots[slot].is_none() && self.begun < self.load.connections {
            if self.started.elapsed() > self.load.limit {
                self.load.connections = self.begun;
                break;
            }
            self.begun += 1;
            let requests = match self.load.skew {
                Some(skew) if self.begun.is_multiple_of(skew.every) => skew.requests,
                _ => 1,
            };
            match Connection::begin(self.load.address, requests, &self.poll, Token(slot)) {
                Ok(connection) => self.slots[slot] = Some(connection),
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                    bail!("there are no ports left to connect from: {error}")
                }
                Err(error) => self.fail(&error.to_string()),
            }
        }
        Ok(())
    }

    /// Goes on with the connection in `slot`, if there still is one.
    fn go_on(&mut self, slot: usize) -> Result<()> {
        let Some(connection) = &mut self.slots[slot] else { return Ok(()) };
        match connection.go_on(&mut self.outcome.answers) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                if connection.requests == 1 {
                    self.outcome.times.push(connection.started.elapsed().as_secs_f64() * 1e6);
                }
                self.ended += 1;
            }
            Err(reason) => self.fail(&reason),
        }
        self.slots[slot] = None;
        self.begin(slot)
    }

    fn fail(&mut self, reason: &str) {
        self.ended += 1;
        self.outcome.failed += 1;
        self.outcome.reason.get_or_insert_with(|| reason.to_owned());
    }

    fn give_up(&mut self) -> Result<()> {
        for slot in 0..self.slots.len() {
            let patience = self.load.patience;
            if self.slots[slot].as_ref().is_some_and(|it| it.begun_at.elapsed() > patience) {
                self.slots[slot] = None;
                self.ended += 1;
                self.outcome.hung += 1;
                self.begin(slot)?;
            }
        }
        Ok(())
    }
}

/// One connection and its requests.
struct Connection {
    stream: TcpStream,
    started: Instant,
    /// When the present request was begun.
    begun_at: Instant,
    requests: u32,
    /// The requests that are not yet answered.
    left: u32,
    /// Whether the present request is written.
    asked: bool,
    response: Response,
}

impl Connection {
    fn begin(
        address: SocketAddr,
        requests: u32,
        poll: &Poll,
        token: Token,
    ) -> std::io::Result<Self> {
        let started = Instant::now();
        let stream = TcpStream::connect(address)?;
        let mut connection = Self {
            stream,
            started,
            begun_at: started,
            requests,
            left: requests,
            asked: false,
            response: Response::default(),
        };
        // On the loopback a connection stands at once; otherwise the event of writability asks.
        connection.ask()?;
        let interest = match connection.asked {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        poll.registry().register(&mut connection.stream, token, interest)?;
        Ok(connection)
    }

    fn ask(&mut self) -> std::io::Result<()> {
        let request = if self.left == 1 { LAST } else { MORE };
        match self.stream.write(request) {
            // An empty send buffer takes a whole request.
            Ok(_) => self.asked = true,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads what is there and goes on. Says whether the connection is through, or why it failed.
    fn go_on(&mut self, answers: &mut BTreeMap<String, u64>) -> Result<bool, String> {
        if !self.asked {
            self.ask().map_err(|error| format!("request: {error}"))?;
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.end(answers),
                Ok(count) => self.response.add(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("response: {error}")),
            }
            if self.left > 1 && self.response.is_whole() {
                self.count(answers)?;
                self.left -= 1;
                self.begun_at = Instant::now();
                self.ask().map_err(|error| format!("request: {error}"))?;
            }
        }
    }

    /// The server has closed the connection.
    fn end(&mut self, answers: &mut BTreeMap<String, u64>) -> Result<bool, String> {
        if self.left > 1 {
            return Err("closed before the last request".to_owned());
        }
        self.count(answers)?;
        Ok(true)
    }

    /// Counts the answer for the worker that gave it.
    fn count(&mut self, answers: &mut BTreeMap<String, u64>) -> Result<(), String> {
        let Some(answer) = self.response.take() else {
            return Err("closed before the answer".to_owned());
        };
        match answers.get_mut(&answer) {
            Some(count) => *count += 1,
            None => drop(answers.insert(answer, 1)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_answered_nothing_is_the_idlest() {
        let answers = BTreeMap::from([("1".to_owned(), 30), ("2".to_owned(), 20)]);
        let outcome = Outcome { answers, ..Outcome::default() };
        assert_eq!(outcome.evenness(2), 1.5);
        assert_eq!(outcome.evenness(3), f64::INFINITY);
    }
}
