//! What a worker's application has under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::Waker;

/// Counts what must end before a worker that leaves gracefully may close its channel.
///
/// Counting costs one atomic operation, and two at the end of a connection that the primary handed
/// over. Only the last end, and only while the worker leaves, wakes the host, and where the primary
/// wants to know how many connections have ended, the first end since it was told.
#[derive(Clone, Debug)]
pub struct Activity {
    inner: Arc<Inner>,
}

/// Something under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Guard {
    inner: Arc<Inner>,
    /// The primary counts it, too.
    handed: bool,
}

impl Activity {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let inner = Inner {
            count: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            ended: AtomicUsize::new(0),
            waker,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Something begins.
    pub fn begin(&self) -> Guard {
        self.inner.count.fetch_add(1, Ordering::SeqCst);
        Guard { inner: self.inner.clone(), handed: false }
    }

    /// Something begins, unless the host waits for the last end: either it sees this and waits, or
    /// this sees that it does.
    pub(crate) fn begin_unless_watched(&self) -> Option<Guard> {
        let guard = self.begin();
        (!guard.is_watched()).then_some(guard)
    }

    /// From now on, the first end of a connection that the primary handed over wakes the host, or
    /// none does. Whoever has it so takes what has ended before.
    pub(crate) fn report(&self, ends: bool) {
        self.inner.reported.store(ends, Ordering::SeqCst);
    }

    /// How many connections that the primary handed over have ended since the last time.
    pub(crate) fn take_ended(&self) -> u64 {
        match self.inner.ended.load(Ordering::SeqCst) {
            0 => 0,
            _ => self.inner.ended.swap(0, Ordering::SeqCst) as u64,
        }
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
    /// It is a connection that the primary handed over.
    pub(crate) fn is_handed(&mut self) {
        self.handed = true;
    }

    /// The connection goes back to the primary, and so has ended here; says whether it is to be
    /// counted among those that the primary handed over. It is not counted again.
    pub(crate) fn returned(&mut self) -> bool {
        std::mem::take(&mut self.handed)
    }

    /// Whether the host waits for the end: the worker is leaving.
    pub(crate) fn is_watched(&self) -> bool {
        self.inner.watched.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let inner = &self.inner;
        // It is counted before it is asked whether to tell: who begins to want to know asks for the
        // count after that.
        let news = self.handed
            && inner.ended.fetch_add(1, Ordering::SeqCst) == 0
            && inner.reported.load(Ordering::SeqCst);
        let last = inner.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if news || (last && inner.watched.load(Ordering::SeqCst)) {
            // A host that cannot be woken is gone.
            inner.waker.wake().unwrap_or_default();
        }
    }
}

#[derive(Debug)]
struct Inner {
    count: AtomicUsize,
    watched: AtomicBool,
    reported: AtomicBool,
    ended: AtomicUsize,
    waker: Arc<Waker>,
}
