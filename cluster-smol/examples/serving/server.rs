//! Connections on which hyper answers, and their end in good order. (On tokio, axum does this.)

use std::convert::Infallible;
use std::pin::pin;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;
use smol::io::{AsyncRead, AsyncWrite};
use smol_hyper::rt::FuturesIo;

/// What a request is answered with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The connections of a server.
///
/// Nothing is ever sent through the channels: what they tell is that all senders are gone.
pub(crate) struct Server {
    serving: Sender<Infallible>,
    ending: Receiver<Infallible>,
    busy: Sender<Infallible>,
    idle: Receiver<Infallible>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let (serving, ending) = bounded(1);
        let (busy, idle) = bounded(1);
        Self { serving, ending, busy, idle }
    }

    /// Answers the requests of a connection, beside the other connections.
    pub(crate) fn serve<F>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        answer: impl FnOnce(Request<Incoming>) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (ending, busy) = (self.ending.clone(), self.busy.clone());
        let conversation = async move {
            converse(stream, answer, ending).await;
            drop(busy);
        };
        smol::spawn(conversation).detach();
    }

    /// Lets the connections there are answer what they have begun.
    pub(crate) async fn finish(self) {
        drop((self.serving, self.busy));
        gone(&self.idle).await;
    }
}

/// Answers requests. Asked to end, it answers the one that it has begun.
async fn converse<F: Future<Output = Answer>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl FnOnce(Request<Incoming>) -> F + Clone,
    ending: Receiver<Infallible>,
) {
    let service = service_fn(move |request| {
        let answer = answer.clone()(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), service);
    let mut connection = pin!(connection);
    let asked = async {
        gone(&ending).await;
        None
    };
    let over = or(async { Some(connection.as_mut().await) }, asked).await;
    if over.is_none() {
        connection.as_mut().graceful_shutdown();
        // What fails now is the client's affair.
        connection.await.unwrap_or_default();
    }
}

/// Waits until all senders are gone.
async fn gone(senders: &Receiver<Infallible>) {
    if let Ok(never) = senders.recv().await {
        match never {}
    }
}
