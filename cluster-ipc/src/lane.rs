//! The two lanes in which frames wait to be staged.

use std::collections::VecDeque;

use crate::credit::{SendWindow, charge};
use crate::error::EncodeError;
use crate::header::{CREDIT_LEN, Flags, FrameKind, HEADER_LEN, Header};
use crate::hello::Hello;
use crate::limits::{
    CHUNK_TARGET, CONTROL_MAX, CONTROL_WAITING_MAX, FRAGMENT_MAX, HANDLES_PER_FRAME, MESSAGE_MAX,
    WINDOW,
};
use crate::message::ControlMessage;
use crate::payload::Payload;
use crate::stage::Stage;

/// Small frames, encoded as they are pushed into one buffer that is used again and again.
pub(crate) struct ControlLane<H> {
    /// Whole frames, as they go on the wire; those before `start` are staged.
    bytes: Vec<u8>,
    start: usize,
    headers: VecDeque<Header>,
    handles: VecDeque<H>,
}

impl<H> ControlLane<H> {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, headers: VecDeque::new(), handles: VecDeque::new() }
    }

    pub(crate) fn push_hello(&mut self, hello: &Hello) {
        self.push_plain(FrameKind::Hello, &hello.emit());
    }

    pub(crate) fn push_credit(&mut self, bytes: u32) {
        let body: [u8; CREDIT_LEN] = bytes.to_le_bytes();
        self.push_plain(FrameKind::Credit, &body);
    }

    pub(crate) fn push_message<T: ControlMessage>(
        &mut self,
        message: &T,
        handles: impl IntoIterator<Item = H>,
    ) -> Result<(), EncodeError> {
        let (frame, riding) = (self.bytes.len(), self.handles.len());
        let waiting = frame - self.start;
        if waiting >= CONTROL_WAITING_MAX {
            return Err(EncodeError::Unread { waiting, max: CONTROL_WAITING_MAX });
        }
        let pushed = self.try_push(message, handles);
        if pushed.is_err() {
            self.bytes.truncate(frame);
            self.handles.truncate(riding);
        }
        pushed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Stages the first frame. `false` if there is none, or no room for it.
    pub(crate) fn stage(&mut self, stage: &mut Stage<H>) -> bool {
        let Some(header) = self.headers.front() else { return false };
        if !stage.has_room(header.handles()) {
            return false;
        }
        let end = self.start + HEADER_LEN + header.length();
        stage.put(&self.bytes[self.start..end], self.handles.drain(..header.handles()));
        self.start = end;
        self.headers.pop_front();
        self.compact();
        true
    }

    fn push_plain(&mut self, kind: FrameKind, body: &[u8]) {
        let header = Header::new(kind, 0, body.len());
        self.bytes.extend_from_slice(&header.emit());
        self.bytes.extend_from_slice(body);
        self.headers.push_back(header);
    }

    /// On an error, what was appended to `bytes` and `handles` is to be taken back.
    fn try_push<T: ControlMessage>(
        &mut self,
        message: &T,
        handles: impl IntoIterator<Item = H>,
    ) -> Result<(), EncodeError> {
        let (frame, riding) = (self.bytes.len(), self.handles.len());
        let expected = message.handles();
        check_handles(expected)?;
        // One too many tells that the count is wrong; an endless iterator ends here, too.
        self.handles.extend(handles.into_iter().take(expected + 1));
        let given = self.handles.len() - riding;
        if given != expected {
            return Err(EncodeError::HandleCount { expected, given });
        }
        // The header is known when the body is there.
        self.bytes.extend_from_slice(&[0; HEADER_LEN]);
        postcard::to_io(message, &mut self.bytes).map_err(|_| EncodeError::Serialize)?;
        let len = self.bytes.len() - frame - HEADER_LEN;
        check_length(len, CONTROL_MAX)?;
        let header = Header::new(FrameKind::Control, given, len);
        self.bytes[frame..frame + HEADER_LEN].copy_from_slice(&header.emit());
        self.headers.push_back(header);
        Ok(())
    }

    /// Moves what is left to the front once that is less than what is gone, so that all the
    /// moving costs no more than the staging did.
    fn compact(&mut self) {
        let left = self.bytes.len() - self.start;
        if left <= self.start {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if left == 0 {
            // A burst long past should not keep its memory.
            self.bytes.shrink_to(4 * CHUNK_TARGET);
        }
    }
}

/// Whole messages, cut into fragments as they are staged.
pub(crate) struct UserLane<H> {
    messages: VecDeque<Outgoing<H>>,
    window: SendWindow,
}

impl<H> UserLane<H> {
    pub(crate) const fn new() -> Self {
        Self { messages: VecDeque::new(), window: SendWindow::new(WINDOW) }
    }

    pub(crate) fn push(&mut self, payload: Payload, handles: Vec<H>) -> Result<(), EncodeError> {
        check_length(payload.len(), MESSAGE_MAX)?;
        check_handles(handles.len())?;
        self.messages.push_back(Outgoing { payload, staged: 0, handles });
        Ok(())
    }

    pub(crate) fn grant(&mut self, bytes: u32) {
        self.window.grant(bytes);
    }

    /// Whether there is a fragment, and credit for it.
    pub(crate) fn is_ready(&self) -> bool {
        let first = self.messages.front();
        first.is_some_and(|message| self.window.admits(charge(&message.next_header())))
    }

    /// Stages the next fragment. `false` if there is none, no credit or no room for it.
    pub(crate) fn stage(&mut self, stage: &mut Stage<H>) -> bool {
        let Some(message) = self.messages.front_mut() else { return false };
        let header = message.next_header();
        if !self.window.admits(charge(&header)) || !stage.has_room(header.handles()) {
            return false;
        }
        self.window.take(charge(&header));
        let end = message.staged + header.length();
        stage.put(&header.emit(), message.handles.drain(..));
        stage.put(&message.payload.bytes()[message.staged..end], []);
        message.staged = end;
        if !header.flags.more {
            self.messages.pop_front();
            stage.mark();
        }
        true
    }
}

/// A message of which `staged` bytes, and with the first of them all handles, are staged.
struct Outgoing<H> {
    payload: Payload,
    staged: usize,
    handles: Vec<H>,
}

impl<H> Outgoing<H> {
    fn next_header(&self) -> Header {
        let left = self.payload.len() - self.staged;
        let (more, encoding) = (left > FRAGMENT_MAX, self.payload.encoding());
        // Whether a group begins is known when it is staged.
        let flags = Flags { more, encoding, group: false };
        Header::user(flags, self.handles.len(), left.min(FRAGMENT_MAX))
    }
}

fn check_handles(handles: usize) -> Result<(), EncodeError> {
    let max = HANDLES_PER_FRAME;
    if handles > max { Err(EncodeError::TooManyHandles { handles, max }) } else { Ok(()) }
}

fn check_length(len: usize, max: usize) -> Result<(), EncodeError> {
    if len > max { Err(EncodeError::TooLarge { len, max }) } else { Ok(()) }
}
