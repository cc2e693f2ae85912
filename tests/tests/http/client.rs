//! A client that knows as much of HTTP as it needs, and believes nothing it has not read.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    /// One connection with one request.
    pub(crate) fn ask(&self) -> io::Result<Server> {
        Connection::open(self)?.last_request()
    }
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.parse().unwrap_or_else(|_| panic!("{text:?} is no address"))),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Worker { id: u32, pid: u32 },
    Single { pid: u32 },
}

impl Server {
    /// The number and the process of the worker that answered.
    pub(crate) fn worker(self) -> (u32, u32) {
        match self {
            Self::Worker { id, pid } => (id, pid),
            Self::Single { .. } => panic!("{self:?} is no worker"),
        }
    }
}

/// A connection to a server.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// Our address and the server's, of a TCP connection.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let ends = (stream.local_addr()?, stream.peer_addr()?);
                Self { stream: BufReader::new(Box::new(stream)), ends: Some(ends) }
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Self { stream: BufReader::new(Box::new(stream)), ends: None }
            }
        })
    }

    /// A request after which others may follow.
    pub(crate) fn request(&mut self) -> io::Result<Server> {
        self.send(FIRST_HALF)?;
        self.send("\r\n")?;
        self.answer()
    }

    /// A request after which the server closes the connection.
    pub(crate) fn last_request(&mut self) -> io::Result<Server> {
        self.send(FIRST_HALF)?;
        self.finish_request()
    }

    /// Less than a request.
    pub(crate) fn half_request(&mut self) -> io::Result<()> {
        self.send(FIRST_HALF)
    }

    /// What [`half_request`](Self::half_request) left out, and the answer.
    pub(crate) fn finish_request(&mut self) -> io::Result<Server> {
        self.send("Connection: close\r\n\r\n")?;
        let server = self.answer()?;
        self.end()?;
        Ok(server)
    }

    /// Waits until the server closes the connection, and has nothing more to say.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self.stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(malformed("bytes after the answer")),
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn answer(&mut self) -> io::Result<Server> {
        let status = self.line()?;
        if status != "HTTP/1.1 200 OK" {
            return Err(malformed(&status));
        }
        let mut length = None;
        loop {
            let header = self.line()?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(number) = header.strip_prefix("content-length:") {
                length = number.trim().parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| malformed("no length"))?];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        server(&body).ok_or_else(|| malformed(&body))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Whether an error means that the server, or its kernel, has closed the connection.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// `worker ID pid PID\n` or `single pid PID\n`, exactly.
fn server(body: &str) -> Option<Server> {
    let words: Vec<&str> = body.split([' ', '\n']).collect();
    let (server, again) = match *words {
        ["worker", id, "pid", pid, ""] => {
            let (id, pid) = (id.parse().ok()?, pid.parse().ok()?);
            (Server::Worker { id, pid }, format!("worker {id} pid {pid}\n"))
        }
        ["single", "pid", pid, ""] => {
            let pid = pid.parse().ok()?;
            (Server::Single { pid }, format!("single pid {pid}\n"))
        }
        _ => return None,
    };
    (again == body).then_some(server)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {what:?}"))
}

const FIRST_HALF: &str = "GET /some/where HTTP/1.1\r\nHost: example.test\r\n";

/// A connection that is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(20);
