//! A channel with its codec and credit: frames go in and come out.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cluster_ipc::{ControlMessage, DecodeError, Decoder, EncodeError, Encoder, Frame, Hello};
use mio::Waker;
use nix::errno::Errno;

use crate::channel::{Channel, ReceiveError};
use crate::error::SendError;
use crate::message::{Consumption, Message, Outgoing, Receipt};
use crate::outbox::{Outbox, Permit};
use crate::reply::Reply;

/// One side's end of a channel. `In` is what the other side says in the control lane.
///
/// What is sent is queued and goes out with [`flush`](Self::flush). A link whose peer is gone
/// swallows what is sent: the end is learnt by reading, behind all that the peer has said.
#[derive(Debug)]
pub(crate) struct Link<In> {
    channel: Channel,
    encoder: Encoder<OwnedFd>,
    decoder: Decoder<In, OwnedFd>,
    /// How many bytes were read.
    read: u64,
    /// Descriptors of the last read; kept for its capacity.
    received: Vec<OwnedFd>,
    consumption: Consumption,
    outbox: Arc<Outbox>,
    sends: VecDeque<Send>,
    sent: u64,
    writing: Writing,
}

/// What came out of a link.
#[derive(Debug)]
pub(crate) enum Incoming<In> {
    Control(In, Option<OwnedFd>),
    User(Message, Receipt),
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is out that may go now.
    All,
    /// The channel is full; it will be writable again.
    Full,
    /// The operating system refuses for now, and will not tell when it does not.
    Refused,
}

/// How far a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// There may be more.
    More,
    /// There is no more for now.
    Drained,
    /// There will be no more.
    End,
}

/// Why a link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// What came is no stream of frames.
    #[error("the other side does not speak as it should: {0}")]
    Decode(#[from] DecodeError),
    /// What was to be said has no form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The channel failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl<In: ControlMessage> Link<In> {
    pub(crate) fn new(channel: Channel, hello: &Hello, waker: Arc<Waker>) -> Self {
        Self {
            channel,
            encoder: Encoder::new(hello),
            decoder: Decoder::new(),
            read: 0,
            received: Vec::new(),
            consumption: Consumption::new(waker),
            outbox: Arc::default(),
            sends: VecDeque::new(),
            sent: 0,
            writing: Writing::Open,
        }
    }

    /// Queues a control message.
    pub(crate) fn send_control<Out: ControlMessage>(
        &mut self,
        message: &Out,
        handle: Option<OwnedFd>,
    ) -> Result<(), EncodeError> {
        match self.writing {
            Writing::Open => self.encoder.push_control(message, handle),
            Writing::Ending | Writing::Ended => Ok(()),
        }
    }

    /// Queues a message of the application. `reply` hears when it is written.
    pub(crate) fn send_user(
        &mut self,
        outgoing: Outgoing,
        reply: Option<Reply<Result<(), SendError>>>,
    ) {
        let Outgoing { payload, permit, handles } = outgoing;
        let pushed = match self.writing {
            Writing::Open => self.encoder.push_user(payload, handles).map_err(SendError::from),
            Writing::Ending | Writing::Ended => Err(SendError::Disconnected),
        };
        match (pushed, reply) {
            (Ok(()), reply) => self.sends.push_back(Send { reply, _permit: permit }),
            (Err(error), Some(reply)) => reply.send(Err(error)),
            (Err(_), None) => {}
        }
    }

    /// Nothing more will be said; the other side sees the end behind what is queued.
    pub(crate) fn end(&mut self) {
        if self.writing == Writing::Open {
            self.writing = Writing::Ending;
            self.outbox.close();
        }
    }

    /// Writes as much as goes now.
    pub(crate) fn flush(&mut self) -> Flushed {
        if self.writing == Writing::Ended {
            return Flushed::All;
        }
        self.announce_credit();
        let mut flushed = Flushed::All;
        while let Some(chunk) = self.encoder.chunk() {
            let handles: Vec<BorrowedFd<'_>> = chunk.handles.iter().map(OwnedFd::as_fd).collect();
            match self.channel.send(chunk.bytes, &handles) {
                Ok(bytes) => drop(self.encoder.advance(bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    flushed = Flushed::Full;
                    break;
                }
                Err(error) if is_passing(&error) => {
                    flushed = Flushed::Refused;
                    break;
                }
                // The peer is gone. Its end is read in its time, behind what it has said.
                Err(_) => return self.fall_silent(),
            }
        }
        self.complete_sends();
        if self.writing == Writing::Ending && flushed == Flushed::All {
            // A peer that is gone already needs no end.
            self.channel.shutdown_write().unwrap_or_default();
            return self.fall_silent();
        }
        flushed
    }

    /// Reads once. A read that stops short has taken all there was, with two exceptions: it stops
    /// behind descriptors, whatever follows; and an end that came together with bytes shows as no
    /// readiness of its own. So whoever knows that there is an `end` goes on until it is read.
    pub(crate) fn receive(&mut self, end: bool) -> Result<Reading, ReceiveError> {
        let spare = self.decoder.spare();
        let room = spare.len();
        match self.channel.receive(spare, &mut self.received) {
            Ok(0) => Ok(Reading::End),
            Ok(bytes) => {
                let drained = bytes < room && self.received.is_empty() && !end;
                self.read += bytes as u64;
                self.decoder.filled(bytes, self.received.drain(..));
                Ok(if drained { Reading::Drained } else { Reading::More })
            }
            // The frames that they belong to say so.
            Err(ReceiveError::Truncated { bytes }) => {
                self.read += bytes as u64;
                self.decoder.filled_lossy(bytes, self.received.drain(..));
                Ok(Reading::More)
            }
            Err(ReceiveError::WouldBlock) => Ok(Reading::Drained),
            Err(error) => Err(error),
        }
    }

    /// The next frame that concerns the host.
    pub(crate) fn pop(&mut self) -> Result<Option<Incoming<In>>, DecodeError> {
        while let Some(frame) = self.decoder.pop()? {
            return Ok(Some(match frame {
                Frame::Credit(bytes) => {
                    self.encoder.grant(bytes);
                    continue;
                }
                // Its version was checked; its build is for people who read a trace.
                Frame::Hello(_) => continue,
                Frame::Control { message, handles } => {
                    // A control message carries one descriptor at most.
                    Incoming::Control(message, handles.into_iter().next())
                }
                Frame::User { payload, handles, lost, charge } => {
                    let message = Message::new(payload, handles, lost);
                    Incoming::User(message, self.consumption.receipt(charge))
                }
            }));
        }
        self.consumption.set_partial(self.decoder.is_mid_message());
        Ok(None)
    }

    /// Whether there is something to write, or credit to announce.
    pub(crate) fn wants_flush(&mut self) -> bool {
        self.announce_credit();
        self.writing != Writing::Ended && !self.encoder.is_idle() || self.writing == Writing::Ending
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn announce_credit(&mut self) {
        if let Some(charge) = self.consumption.take() {
            self.decoder.consumed(charge);
        }
        if let Some(credit) = self.decoder.credit_due() {
            self.encoder.push_credit(credit);
        }
    }

    fn complete_sends(&mut self) {
        let written = self.encoder.user_written();
        while self.sent < written {
            self.sent += 1;
            if let Some(Send { reply: Some(reply), .. }) = self.sends.pop_front() {
                reply.send(Ok(()));
            }
        }
    }

    /// Nothing is written any more.
    fn fall_silent(&mut self) -> Flushed {
        self.complete_sends();
        self.writing = Writing::Ended;
        self.fail_sends();
        Flushed::All
    }
}

impl<In> Link<In> {
    /// How many bytes were read so far.
    pub(crate) const fn read(&self) -> u64 {
        self.read
    }

    fn fail_sends(&mut self) {
        self.outbox.close();
        for Send { reply, .. } in self.sends.drain(..) {
            if let Some(reply) = reply {
                reply.send(Err(SendError::Disconnected));
            }
        }
    }
}

impl<In> AsFd for Link<In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl<In> Drop for Link<In> {
    fn drop(&mut self) {
        self.fail_sends();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// The end follows when all is written.
    Ending,
    Ended,
}

/// A user message that is not written yet.
#[derive(Debug)]
struct Send {
    reply: Option<Reply<Result<(), SendError>>>,
    _permit: Permit,
}

/// Errors of sendmsg(2) that pass when others have received or freed something.
fn is_passing(error: &std::io::Error) -> bool {
    let passing = [Errno::ETOOMANYREFS, Errno::ENOBUFS, Errno::ENOMEM];
    error.raw_os_error().is_some_and(|code| passing.contains(&Errno::from_raw(code)))
}
