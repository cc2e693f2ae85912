//! What a worker's application has under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::Waker;

/// Counts what must end before a worker that leaves gracefully may close its channel.
///
/// Counting costs one atomic operation; only the last end, and only while the worker leaves,
/// wakes the host.
#[derive(Clone, Debug)]
pub struct Activity {
    inner: Arc<Inner>,
}

/// Something under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Guard {
    inner: Arc<Inner>,
}

impl Activity {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let inner = Inner { count: AtomicUsize::new(0), watched: AtomicBool::new(false), waker };
        Self { inner: Arc::new(inner) }
    }

    /// Something begins.
    pub fn begin(&self) -> Guard {
        self.inner.count.fetch_add(1, Ordering::SeqCst);
        Guard { inner: self.inner.clone() }
    }

    /// How much is under way.
    pub fn count(&self) -> usize {
        self.inner.count.load(Ordering::SeqCst)
    }

    /// From now on, the last end wakes the host.
    pub(crate) fn watch(&self) {
        self.inner.watched.store(true, Ordering::SeqCst);
    }
}

impl Guard {
    /// Whether the host waits for the end: the worker is leaving.
    pub(crate) fn is_watched(&self) -> bool {
        self.inner.watched.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let last = self.inner.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.inner.watched.load(Ordering::SeqCst) {
            // A host that cannot be woken is gone.
            self.inner.waker.wake().unwrap_or_default();
        }
    }
}

#[derive(Debug)]
struct Inner {
    count: AtomicUsize,
    watched: AtomicBool,
    waker: Arc<Waker>,
}
