//! One connection and its requests.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::Slow;
use super::request::Request;
use crate::bench::response::Response;

/// What sort of connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One request.
    Short,
    /// Several, one after another.
    Long,
    /// One that is written in pieces.
    Slow,
}

/// A connection that is under way.
pub(super) struct Connection {
    stream: TcpStream,
    started: Instant,
    /// When the present request was begun.
    begun_at: Instant,
    requests: u32,
    /// The requests that are not yet answered.
    left: u32,
    /// The present one.
    request: Request,
    slow: Option<Slow>,
    /// When a slow client writes its next piece.
    due: Option<Instant>,
    response: Response,
}

impl Connection {
    /// Begins one with so many `requests`, each of which a `slow` client writes in pieces.
    pub(super) fn begin(
        address: SocketAddr,
        requests: u32,
        slow: Option<Slow>,
        poll: &Poll,
        token: Token,
    ) -> io::Result<Self> {
        let started = Instant::now();
        let stream = TcpStream::connect(address)?;
        if slow.is_some() {
            // Otherwise the system would keep a piece back until the one before is acknowledged.
            stream.set_nodelay(true)?;
        }
        let mut connection = Self {
            stream,
            started,
            begun_at: started,
            requests,
            left: requests,
            request: Request::new(requests == 1, pieces(slow)),
            slow,
            due: None,
            response: Response::default(),
        };
        // On the loopback a connection stands at once; otherwise the event of writability asks.
        connection.write()?;
        let interest = match connection.request.is_begun() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        poll.registry().register(&mut connection.stream, token, interest)?;
        Ok(connection)
    }

    /// Reads what is there and goes on. Says whether the connection is through, or why it failed.
    pub(super) fn go_on(&mut self, answers: &mut BTreeMap<String, u64>) -> Result<bool, String> {
        if !self.request.is_begun() {
            self.ask()?;
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
                self.request = Request::new(self.left == 1, pieces(self.slow));
                self.ask()?;
            }
        }
    }

    /// Writes the next piece of the present request: all of it, unless the client is slow.
    pub(super) fn ask(&mut self) -> Result<(), String> {
        self.write().map_err(|error| format!("request: {error}"))
    }

    /// When a slow client writes its next piece.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How long this has taken.
    pub(super) fn time(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.slow, self.requests) {
            (Some(_), _) => Kind::Slow,
            (None, 1) => Kind::Short,
            (None, _) => Kind::Long,
        }
    }

    /// How long the present request has taken.
    pub(super) fn waits(&self) -> Duration {
        self.begun_at.elapsed()
    }

    fn write(&mut self) -> io::Result<()> {
        match self.stream.write(self.request.piece()) {
            // An empty send buffer takes a whole request.
            Ok(_) => self.request.advance(),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(error) => return Err(error),
        }
        let goes_on = self.request.is_begun() && !self.request.is_written();
        self.due = self.slow.filter(|_| goes_on).map(|slow| Instant::now() + slow.pause);
        Ok(())
    }

    /// The server has closed the connection.
    fn end(&mut self, answers: &mut BTreeMap<String, u64>) -> Result<bool, String> {
        if self.left > 1 {
            return Err("closed before the last request".to_owned());
        }
        if !self.request.is_written() {
            return Err("closed before the request was written".to_owned());
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

fn pieces(slow: Option<Slow>) -> usize {
    slow.map_or(1, |slow| slow.pieces)
}
