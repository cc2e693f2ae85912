//! What is outside of a cluster and talks to it: clients, and gates that hold workers up.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::outside::Forking;
use crate::provider::unblock;

/// A client of a fixture that serves.
pub(crate) struct Client<S = TcpStream> {
    stream: Arc<S>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("somebody listens")
    }

    /// Asserts that nobody listens there (any more).
    pub(crate) async fn is_refused(address: SocketAddr) {
        Forking::wait();
        let failure = Self::try_connect(address).await.map(|_| ()).expect_err("nobody listens");
        assert_eq!(failure.kind(), ErrorKind::ConnectionRefused);
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = unblock(move || TcpStream::connect(address)).await?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Arc::new(stream) })
    }
}

impl Client<UnixStream> {
    pub(crate) async fn connect_unix(path: PathBuf) -> Self {
        let stream = unblock(|| UnixStream::connect(path)).await.expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self { stream: Arc::new(stream) }
    }
}

impl<S: Send + Sync + 'static> Client<S>
where
    for<'a> &'a S: Read + Write,
{
    /// The number of the worker that serves this client.
    pub(crate) async fn served_by(&self) -> u32 {
        let line = self.on_stream(|mut stream| {
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                line.extend(byte);
            }
            Ok(line)
        });
        let line = String::from_utf8(line.await.expect("a worker greets")).expect("digits");
        line.trim().parse().expect("a number")
    }

    /// Sends something, and gets it back.
    pub(crate) async fn echo(&self) {
        let echo = self.on_stream(|mut stream| {
            stream.write_all(b"some text")?;
            let mut back = [0; 9];
            stream.read_exact(&mut back)?;
            Ok(back)
        });
        assert_eq!(&echo.await.expect("it is served"), b"some text");
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(self) {
        let rest = self.on_stream(|mut stream| {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            Ok(rest)
        });
        match rest.await {
            Ok(rest) => assert!(rest.is_empty(), "told {rest:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    async fn on_stream<T: Send + 'static>(
        &self,
        work: impl FnOnce(&S) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let stream = self.stream.clone();
        unblock(move || work(&stream)).await
    }
}

/// Something that listens and has nothing to do with a cluster.
pub(crate) struct Stranger {
    listener: TcpListener,
}

impl Stranger {
    pub(crate) fn new(address: &str) -> Self {
        Self { listener: TcpListener::bind(address).expect("the address is free") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// It ends, and with it all that it held.
    pub(crate) fn leave(self) {
        drop(self.listener);
        Forking::wait();
    }
}

/// Where a worker waits until the test lets it go on.
pub(crate) struct Gate {
    listener: Arc<TcpListener>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        Self { listener: Arc::new(listener) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Waits until somebody has arrived. The gate opens for them when this is dropped.
    pub(crate) async fn arrived(&self) -> Arrived {
        let listener = self.listener.clone();
        let accepted = unblock(move || listener.accept()).await;
        Arrived { _stream: accepted.expect("somebody arrives").0 }
    }
}

/// Somebody who waits at a gate.
#[must_use = "the gate opens at once when it is dropped"]
pub(crate) struct Arrived {
    _stream: TcpStream,
}

impl Arrived {
    pub(crate) fn open(self) {}
}

/// No synchronisation: who waits so long for an answer hangs.
const PATIENCE: Duration = Duration::from_secs(50);
