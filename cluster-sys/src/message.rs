//! User messages: as they leave and as they arrive.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cluster_ipc::limits::{
    FRAGMENT_MAX, HANDLE_OVERHEAD, HANDLES_PER_FRAME, MESSAGE_OVERHEAD, WINDOW,
};
use cluster_ipc::{Charge, Payload, PayloadError};
use mio::Waker;
use serde::de::DeserializeOwned;

use crate::outbox::Permit;

/// A message that was received. Clones share its bytes and its descriptors.
#[derive(Clone, Debug)]
pub struct Message {
    payload: Payload,
    /// If there were any.
    handles: Option<Arc<Handles>>,
}

/// The descriptors that came with a message.
#[derive(Debug)]
struct Handles {
    /// Those that nobody has taken yet, in the order in which they were sent.
    here: Mutex<VecDeque<OwnedFd>>,
    lost: usize,
}

impl Message {
    pub(crate) fn new(payload: Payload, handles: Vec<OwnedFd>, lost: usize) -> Self {
        let any = lost > 0 || !handles.is_empty();
        let handles = any.then(|| Arc::new(Handles { here: Mutex::new(handles.into()), lost }));
        Self { payload, handles }
    }

    /// The next descriptor that came with the message, close-on-exec and blocking or not as it
    /// was sent. Each can be taken once; those that nobody takes are closed with the message.
    pub fn take_handle(&self) -> Option<OwnedFd> {
        self.handles.as_ref()?.here.lock().ok()?.pop_front()
    }

    /// How many descriptors, the last ones of the message, were lost on their way because this
    /// process had as many open as it may (`EMFILE`).
    pub fn lost_handles(&self) -> usize {
        self.handles.as_ref().map_or(0, |it| it.lost)
    }

    /// The value that was sent.
    ///
    /// # Errors
    ///
    /// If the bytes are no such value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.payload.decode()
    }

    /// The encoded value.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// A message to be sent: an encoded value, the room reserved for it, and the descriptors that
/// ride along.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) payload: Payload,
    pub(crate) permit: Permit,
    pub(crate) handles: Vec<OwnedFd>,
}

impl Outgoing {
    /// A message for the channel that `permit` is of.
    pub fn new(payload: Payload, permit: Permit) -> Self {
        Self { payload, permit, handles: Vec::new() }
    }

    /// The same with descriptors. They are closed here when they are sent.
    pub fn with_handles(self, handles: Vec<OwnedFd>) -> Self {
        Self { handles, ..self }
    }
}

/// To be dropped when the application takes a message: only then may the other side send as
/// much again. A message with several readers has one receipt.
#[derive(Debug)]
pub struct Receipt {
    meter: Arc<Meter>,
    charge: Option<Charge>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            self.meter.taken(charge);
        }
    }
}

/// What the application has taken of one channel's messages and the decoder does not know yet.
#[derive(Debug)]
pub(crate) struct Consumption {
    meter: Arc<Meter>,
}

impl Consumption {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let meter = Meter {
            waker,
            unreported: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            partial: AtomicBool::new(false),
        };
        Self { meter: Arc::new(meter) }
    }

    pub(crate) fn receipt(&self, charge: Charge) -> Receipt {
        self.meter.waiting.fetch_add(1, Ordering::SeqCst);
        Receipt { meter: Arc::clone(&self.meter), charge: Some(charge) }
    }

    /// Says whether a message is half received; to be followed by [`take`](Self::take).
    pub(crate) fn set_partial(&self, partial: bool) {
        self.meter.partial.store(partial, Ordering::SeqCst);
    }

    /// What was taken since the last call, if anything.
    pub(crate) fn take(&self) -> Option<Charge> {
        let unreported = &self.meter.unreported;
        // Mostly there is nothing, which is found out without writing.
        if unreported.load(Ordering::SeqCst) == 0 {
            return None;
        }
        Some(Charge::from_number(unreported.swap(0, Ordering::SeqCst)))
    }
}

/// Knows when the host must be woken for the other side's sake.
#[derive(Debug)]
struct Meter {
    waker: Arc<Waker>,
    /// What was taken since the host looked: the sum of [`Charge::into_number`], which is never
    /// more than the window.
    unreported: AtomicU64,
    /// Messages delivered and not taken.
    waiting: AtomicU32,
    /// The other side is in the middle of a message: it may need what the last message before
    /// it holds, however little that is.
    partial: AtomicBool,
}

impl Meter {
    fn taken(&self, charge: Charge) {
        let bytes = charge.bytes();
        let before = self.unreported.fetch_add(charge.into_number(), Ordering::SeqCst);
        let before = Charge::from_number(before).bytes();
        let last = self.waiting.fetch_sub(1, Ordering::SeqCst) == 1;
        // Once is enough: the host looks at all that was taken by then.
        let enough = before < WAKE_THRESHOLD && before + bytes >= WAKE_THRESHOLD;
        if enough || (last && self.partial.load(Ordering::SeqCst)) {
            // A host that cannot be woken is gone.
            self.waker.wake().unwrap_or_default();
        }
    }
}

/// When so many bytes of credit are taken, the host is woken to announce them. What is below is
/// announced with other traffic. It is so little that, although the decoder withholds up to half
/// a window as well, the costliest fragment can come.
const WAKE_THRESHOLD: u32 = WINDOW / 16;

const _: () = assert!(WINDOW / 2 - WAKE_THRESHOLD >= COSTLIEST as u32);

const COSTLIEST: usize = 8 + FRAGMENT_MAX + MESSAGE_OVERHEAD + HANDLES_PER_FRAME * HANDLE_OVERHEAD;
