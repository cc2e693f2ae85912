//! The load: many connections at a time from one thread.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use mio::{Events, Poll, Token};

use connection::{Connection, Kind};

mod connection;
mod request;

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
    /// The requests of each connection, one after another.
    pub(super) requests: u32,
    pub(super) skew: Option<Skew>,
    pub(super) slow: Option<Slow>,
}

/// Every so-manieth connection is heavy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    pub(super) every: u64,
    /// The requests of a heavy connection, one after another.
    pub(super) requests: u32,
}

/// Clients that write their one request in pieces. They come beside the others, one connection
/// after another for as long as these go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow {
    /// How many there are at a time.
    pub(super) clients: usize,
    pub(super) pieces: usize,
    /// From one piece to the next.
    pub(super) pause: Duration,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many requests each worker answered.
    pub(super) answers: BTreeMap<String, u64>,
    /// How long each connection of a single request took, in microseconds. Slow clients do not
    /// count.
    pub(super) times: Vec<f64>,
    /// The same for each connection of several requests.
    pub(super) long_times: Vec<f64>,
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
        let (requests, skew, slow) = (1, None, None);
        Self { address, connections, parallel, limit, patience, requests, skew, slow }
    }

    /// Brings this load upon the server.
    pub(super) fn run(&self) -> Result<Outcome> {
        let slow = self.slow.map_or(0, |slow| slow.clients);
        let mut run = Run {
            load: *self,
            poll: Poll::new()?,
            slots: (0..self.parallel + slow).map(|_| None).collect(),
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
    /// Those of slow clients come last.
    slots: Vec<Option<Connection>>,
    started: Instant,
    /// Neither of these counts slow clients: they are there for the others.
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
        // Slow clients first: they are there when the others come.
        for slot in (0..self.slots.len()).rev() {
            self.begin(slot)?;
        }
        let mut events = Events::with_capacity(self.slots.len().max(1));
        let mut looked = Instant::now();
        while !self.is_over() {
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                self.go_on(event.token().0)?;
            }
            self.go_on_slowly()?;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.give_up()?;
            }
        }
        Ok(())
    }

    /// Slow clients begin nothing after the others, but finish what they have begun.
    fn is_over(&self) -> bool {
        self.ended >= self.load.connections && self.slots.iter().all(Option::is_none)
    }

    /// How long to wait for events: until the next piece is due, or the next look.
    fn pause(&self) -> Duration {
        let slow = self.slots[self.load.parallel..].iter().flatten();
        let due = slow.filter_map(Connection::due).min();
        due.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK))
    }

    /// Begins connections in `slot` until one is under way, or none is left.
    fn begin(&mut self, slot: usize) -> Result<()> {
        while self.slots[slot].is_none() && self.begun < self.load.connections {
            if self.started.elapsed() > self.load.limit {
                self.load.connections = self.begun;
                break;
            }
            let slow = self.load.slow.filter(|_| self.is_slow(slot));
            let requests = if slow.is_some() { 1 } else { self.next_requests() };
            match Connection::begin(self.load.address, requests, slow, &self.poll, Token(slot)) {
                Ok(connection) => self.slots[slot] = Some(connection),
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                    bail!("there are no ports left to connect from: {error}")
                }
                Err(error) => self.fail(slot, &error.to_string()),
            }
            if slow.is_some() {
                // Slow clients have no end of their own: one that cannot connect stays away.
                break;
            }
        }
        Ok(())
    }

    /// Counts one more connection as begun, and says how many requests it has.
    fn next_requests(&mut self) -> u32 {
        self.begun += 1;
        match self.load.skew {
            Some(skew) if self.begun.is_multiple_of(skew.every) => skew.requests,
            _ => self.load.requests,
        }
    }

    /// Goes on with the connection in `slot`, if there still is one.
    fn go_on(&mut self, slot: usize) -> Result<()> {
        let Some(connection) = &mut self.slots[slot] else { return Ok(()) };
        match connection.go_on(&mut self.outcome.answers) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let time = connection.time().as_secs_f64() * 1e6;
                match connection.kind() {
                    Kind::Short => self.outcome.times.push(time),
                    Kind::Long => self.outcome.long_times.push(time),
                    Kind::Slow => {}
                }
                self.end(slot);
            }
            Err(reason) => self.fail(slot, &reason),
        }
        self.begin(slot)
    }

    /// Lets slow clients write the pieces that are due.
    fn go_on_slowly(&mut self) -> Result<()> {
        for slot in self.load.parallel..self.slots.len() {
            let Some(connection) = &mut self.slots[slot] else { continue };
            let is_due = connection.due().is_some_and(|due| due <= Instant::now());
            if is_due && let Err(reason) = connection.ask() {
                self.fail(slot, &reason);
                self.begin(slot)?;
            }
        }
        Ok(())
    }

    fn give_up(&mut self) -> Result<()> {
        for slot in 0..self.slots.len() {
            let patience = self.load.patience;
            if self.slots[slot].as_ref().is_some_and(|it| it.waits() > patience) {
                self.outcome.hung += 1;
                self.end(slot);
                self.begin(slot)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, slot: usize, reason: &str) {
        self.outcome.failed += 1;
        self.outcome.reason.get_or_insert_with(|| reason.to_owned());
        self.end(slot);
    }

    fn end(&mut self, slot: usize) {
        self.slots[slot] = None;
        if !self.is_slow(slot) {
            self.ended += 1;
        }
    }

    fn is_slow(&self, slot: usize) -> bool {
        slot >= self.load.parallel
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread;

    use super::*;

    const SLOW: Slow = Slow { clients: 3, pieces: 10, pause: Duration::from_millis(2) };

    /// The address of a server that does `work` for each connection, one in its own thread.
    fn server(work: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let address = listener.local_addr().expect("it has an address");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || work(stream));
            }
        });
        address
    }

    fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nworker 1 pid 7\n")
    }

    /// Answers each whole request until one is the last.
    fn serve(mut stream: TcpStream) -> std::io::Result<()> {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while stream.read(&mut byte)? > 0 {
            request.extend(byte);
            if request.ends_with(b"\r\n\r\n") {
                answer(&mut stream)?;
                if request.ends_with(b"close\r\n\r\n") {
                    return Ok(());
                }
                request.clear();
            }
        }
        Ok(())
    }

    /// Answers whatever comes first, and takes in what comes then.
    fn serve_hastily(mut stream: TcpStream) -> std::io::Result<()> {
        stream.read_exact(&mut [0])?;
        answer(&mut stream)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }

    #[test]
    fn each_connection_is_kept_for_all_its_requests() {
        let load = Load { requests: 7, ..Load::even(server(serve), 5, 2) };
        let outcome = load.run().expect("it runs");
        assert_eq!(outcome.answers, BTreeMap::from([("worker 1 pid 7".to_owned(), 35)]));
        assert!(outcome.times.is_empty() && outcome.long_times.len() == 5, "{outcome:?}");
        outcome.flawless().expect("all are served");
    }

    #[test]
    fn slow_clients_come_beside_the_others_and_take_their_time() {
        let slow = Slow { pause: Duration::from_millis(20), ..SLOW };
        let load = Load { slow: Some(slow), ..Load::even(server(serve), 20, 2) };
        let outcome = load.run().expect("it runs");
        assert_eq!(outcome.times.len(), 20);
        assert!(outcome.answers["worker 1 pid 7"] >= 23, "{outcome:?}");
        assert!(outcome.took >= slow.pause * 9, "{outcome:?}");
        outcome.flawless().expect("all are served");
    }

    #[test]
    fn an_answer_to_half_a_request_is_none() {
        // The second half never comes in time.
        let slow = Slow { pause: PATIENCE, ..SLOW };
        let load = Load { slow: Some(slow), ..Load::even(server(serve_hastily), 20, 2) };
        let outcome = load.run().expect("it runs");
        assert_eq!(outcome.times.len(), 20);
        assert!(outcome.failed >= 3, "{outcome:?}");
        assert!(outcome.flawless().is_err());
    }

    #[test]
    fn who_is_served_nothing_has_failed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let nobody = listener.local_addr().expect("it has an address");
        drop(listener);
        for address in [nobody, server(|_| Ok(()))] {
            for requests in [1, 7] {
                let even = Load::even(address, 20, 2);
                let outcome = Load { requests, slow: Some(SLOW), ..even }.run().expect("it runs");
                assert!(outcome.failed >= 23, "{outcome:?}");
                assert!(outcome.answers.is_empty() && outcome.times.is_empty(), "{outcome:?}");
                assert!(outcome.flawless().is_err());
            }
        }
    }

    #[test]
    fn who_waits_for_too_long_is_hung() {
        // Nobody accepts; connections stand all the same.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let address = listener.local_addr().expect("it has an address");
        let patience = SLOW.pause * 20;
        let load = Load { patience, slow: Some(SLOW), ..Load::even(address, 2, 2) };
        let outcome = load.run().expect("it runs");
        assert_eq!((outcome.failed, outcome.hung), (0, 5), "{outcome:?}");
        assert!(outcome.flawless().is_err());
    }

    #[test]
    fn a_worker_that_answered_nothing_is_the_idlest() {
        let answers = BTreeMap::from([("1".to_owned(), 30), ("2".to_owned(), 20)]);
        let outcome = Outcome { answers, ..Outcome::default() };
        assert_eq!(outcome.evenness(2), 1.5);
        assert_eq!(outcome.evenness(3), f64::INFINITY);
    }
}
