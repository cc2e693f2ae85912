//! What is outside of a cluster and talks to it: clients, and gates that hold workers up.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::runtime;

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
        Self::new(unblock(move || TcpStream::connect(address)).await?)
    }

    /// A client at this host.
    pub(crate) async fn connect_from(host: Ipv4Addr, address: SocketAddr) -> Self {
        // std binds no socket that is to be connected.
        let connect = move || {
            runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
                let socket = TcpSocket::new_v4()?;
                socket.bind((host, 0).into())?;
                socket.connect(address).await?.into_std()
            })
        };
        let stream = unblock(connect).await.expect("somebody listens");
        stream.set_nonblocking(false).expect("it is a socket");
        Self::new(stream).expect("not zero")
    }

    /// Many clients, who are all there before any is looked after.
    pub(crate) async fn crowd(address: SocketAddr) -> Vec<Self> {
        let mut clients = Vec::new();
        for _ in 0..CROWD {
            clients.push(Self::connect(address).await);
        }
        clients
    }

    /// Asserts that these workers serve, and no others: connects until each has.
    pub(crate) async fn all_serve(address: SocketAddr, workers: &[u32]) {
        let mut missing = workers.to_vec();
        while !missing.is_empty() {
            let by = Self::connect(address).await.served_by().await;
            assert!(workers.contains(&by), "{by} is none of {workers:?}");
            missing.retain(|it| *it != by);
        }
    }

    fn new(stream: TcpStream) -> std::io::Result<Self> {
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

/// Somebody who sends and receives datagrams.
pub(crate) struct Correspondent {
    socket: Arc<UdpSocket>,
}

impl Correspondent {
    /// One at this address.
    pub(crate) fn new(address: &str) -> Self {
        Self::try_new(address).expect("the address is free")
    }

    pub(crate) fn try_new(address: &str) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket: Arc::new(socket) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// It ends, and frees its address.
    pub(crate) fn leave(self) {
        drop(self.socket);
        Forking::wait();
    }

    pub(crate) fn send(&self, to: SocketAddr, text: &str) {
        let sent = self.socket.send_to(text.as_bytes(), to).expect("there is room");
        assert_eq!(sent, text.len());
    }

    /// The next datagram, and where it comes from.
    pub(crate) async fn receive(&self) -> (String, SocketAddr) {
        let socket = self.socket.clone();
        let received = unblock(move || {
            let mut buffer = [0; 1024];
            let (count, from) = socket.recv_from(&mut buffer)?;
            Ok::<_, std::io::Error>((buffer[..count].to_vec(), from))
        });
        let (bytes, from) = received.await.expect("a datagram comes");
        (String::from_utf8(bytes).expect("text"), from)
    }

    /// The number of the worker that answers at this address.
    pub(crate) async fn answered_by(&self, address: SocketAddr) -> u32 {
        self.send(address, "question");
        let (answer, from) = self.receive().await;
        assert_eq!(from, address);
        let (name, question) = answer.split_once(' ').expect("two words");
        assert_eq!(question, "question");
        name.parse().expect("a number")
    }
}

/// Something that listens and has nothing to do with a cluster.
pub(crate) struct Stranger {
    listener: Arc<TcpListener>,
}

impl Stranger {
    pub(crate) fn new(address: &str) -> Self {
        Self::try_new(address).expect("the address is free")
    }

    pub(crate) fn try_new(address: &str) -> std::io::Result<Self> {
        Ok(Self { listener: Arc::new(TcpListener::bind(address)?) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        let listener = self.listener.clone();
        unblock(move || listener.accept()).await.expect("a client comes").0
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

/// Enough for each of a few workers to get some.
const CROWD: usize = 40;

/// No synchronisation: who waits so long for an answer hangs.
const PATIENCE: Duration = Duration::from_secs(50);
