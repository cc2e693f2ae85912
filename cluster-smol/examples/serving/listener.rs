//! Serving what a listener accepts. (On tokio, this is `axum::serve` with a graceful shutdown.)

#[path = "server.rs"]
mod server;

use std::time::Duration;

use cluster_smol::{ListenerClosed, TcpListener};
use hyper::Request;
use hyper::body::Incoming;
use smol::Timer;
use smol::future::or;

pub(crate) use server::Answer;
use server::Server;

/// Answers requests until it is asked to end; then lets the connections there are answer what
/// they have begun.
pub(crate) async fn answer_all<F>(
    listener: TcpListener,
    asked_to_end: impl Future<Output = ()>,
    answer: impl FnOnce(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let server = Server::new();
    let accepting = async {
        loop {
            match listener.accept_tracked().await {
                Ok((stream, _)) => server.serve(stream, answer.clone()),
                Err(error) if error.get_ref().is_some_and(|it| it.is::<ListenerClosed>()) => break,
                // Such as too many open files, which passes.
                Err(_) => drop(Timer::after(PAUSE).await),
            }
        }
    };
    or(asked_to_end, accepting).await;
    drop(listener);
    server.finish().await;
}

/// How long it is waited after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);
