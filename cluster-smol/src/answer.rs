//! An answer to a command, to be waited for.

use cluster_sys::Reply;
use smol::channel::{Receiver, bounded};

/// A reply for the host, and where its answer arrives. The receiver's error means that there
/// will be no answer.
pub(crate) fn answer<T: Send + 'static>() -> (Reply<T>, Receiver<T>) {
    let (sender, answer) = bounded(1);
    // Whoever asked may have gone away meanwhile; then the answer is dropped.
    let reply = Reply::new(move |it| sender.try_send(it).map_or_else(drop, |()| ()));
    (reply, answer)
}
