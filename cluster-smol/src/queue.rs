//! Queues without a limit, each with one reader (which may be asked by several at once).

use std::iter;

use smol::channel::{Receiver, Sender, unbounded};

/// A queue's reader. Dropped, it drops what is still queued, and with it whatever others wait
/// for: the channel alone would keep that for as long as anybody could send more.
#[derive(Debug)]
pub(crate) struct Queue<T>(Receiver<T>);

impl<T> Queue<T> {
    pub(crate) fn new() -> (Sender<T>, Self) {
        let (sender, receiver) = unbounded();
        (sender, Self(receiver))
    }

    /// The next one; `None` when nobody can send any more. Dropped while it waits, it has taken
    /// none.
    pub(crate) async fn next(&self) -> Option<T> {
        self.0.recv().await.ok()
    }

    /// Those that are there now.
    pub(crate) fn rest(&self) -> impl Iterator<Item = T> {
        iter::from_fn(|| self.0.try_recv().ok())
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        // Closed first: nothing can come in behind what is dropped.
        self.0.close();
        self.rest().for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_not_read_goes_with_its_reader() {
        let (sender, queue) = Queue::new();
        let held = Arc::new(());
        sender.try_send(held.clone()).expect("there is a reader");
        drop(queue);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(sender.try_send(held).is_err(), "and nothing else comes in");
    }
}
