//! What scenarios are written with.

mod client;
mod outside;
pub(crate) mod scene;
mod stage;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use cluster_tests::script::Report;

pub(crate) use client::{Client, Correspondent, Gate, Stranger};
pub(crate) use outside::{Folder, Forking, Outside};
pub(crate) use scene::{Scene, run};
pub(crate) use stage::{Stage, settings_of};

/// The report of a text.
pub(crate) fn text(text: &str) -> Report {
    Report::Text(text.to_owned())
}

/// The report of a failure of this kind.
pub(crate) fn failed(kind: &str) -> Report {
    Report::Failed(kind.to_owned())
}

/// What a future gives if it is polled once.
pub(crate) async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
