//! Bytes in, frames out.

use std::fmt;
use std::marker::PhantomData;

use crate::assembly::Assembly;
use crate::buffer::Buffer;
use crate::credit::Charge;
use crate::error::DecodeError;
use crate::frame::Frame;
use crate::header::{FrameKind, HEADER_LEN, Header};
use crate::held::Held;
use crate::hello::Hello;
use crate::message::ControlMessage;

/// The receiving half of a channel, without the channel.
///
/// Read into [`spare`](Self::spare), tell [`filled`](Self::filled) what came, and
/// [`pop`](Self::pop) frames until there is none; then ask [`credit_due`](Self::credit_due).
///
/// `T` is the control message of this direction. `H` stands for a descriptor: those received
/// wait, in the order in which they came, for the frames that count them. Which byte they came
/// with says nothing, since the kernel merges a read with plain bytes in front of it.
///
/// An error ends it: every later `pop` returns the same one, and all handles that are held and
/// all that still come are dropped.
pub struct Decoder<T, H> {
    phase: Phase,
    buffer: Buffer,
    handles: Held<H>,
    user: Assembly<H>,
    message: PhantomData<fn() -> T>,
}

impl<T, H> Decoder<T, H> {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            phase: Phase::Greeting,
            buffer: Buffer::new(),
            handles: Held::new(),
            user: Assembly::new(),
            message: PhantomData,
        }
    }

    /// Room to read into: at least [`READ_SIZE`](crate::limits::READ_SIZE) bytes if no frame is
    /// left to [`pop`](Self::pop), otherwise perhaps less, down to none.
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.spare()
    }

    /// That many bytes were read into [`spare`](Self::spare), and these descriptors came with
    /// them.
    ///
    /// # Panics
    ///
    /// If there was no room for that many bytes.
    pub fn filled(&mut self, bytes: usize, handles: impl IntoIterator<Item = H>) {
        self.fill(bytes, handles, false);
    }

    /// The same for a read in which further descriptors were lost (recvmsg(2): `MSG_CTRUNC`). The
    /// frames that counted them come without.
    ///
    /// # Panics
    ///
    /// If there was no room for that many bytes.
    pub fn filled_lossy(&mut self, bytes: usize, handles: impl IntoIterator<Item = H>) {
        self.fill(bytes, handles, true);
    }

    fn fill(&mut self, bytes: usize, handles: impl IntoIterator<Item = H>, lossy: bool) {
        self.buffer.fill(bytes);
        if let Phase::Failed(_) = self.phase {
            self.buffer.clear();
        } else if let Err(error) = self.handles.add(handles, lossy) {
            self.fail(error);
        }
    }

    /// The application has taken messages with this charge.
    pub fn consumed(&mut self, charge: Charge) {
        self.user.consumed(charge);
    }

    /// Credit to send to the other side ([`Encoder::push_credit`](crate::Encoder::push_credit)),
    /// if enough has gathered. To be asked after [`pop`](Self::pop) and after
    /// [`consumed`](Self::consumed); what is answered once counts as sent.
    pub fn credit_due(&mut self) -> Option<u32> {
        self.user.credit_due()
    }

    /// Whether a user message has begun and not ended: the other side may need the credit of all
    /// messages before it, however little that is, to go on.
    pub const fn is_mid_message(&self) -> bool {
        self.user.is_mid_message()
    }

    fn fail(&mut self, error: DecodeError) {
        self.phase = Phase::Failed(error);
        self.buffer.clear();
        self.handles.clear();
        self.user.clear();
    }
}

impl<T: ControlMessage, H> Decoder<T, H> {
    /// The next frame, or `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`], if what came is no stream of frames. It comes after all frames in
    /// front of it, except for [`DecodeError::TooManyHeld`], which comes at once.
    pub fn pop(&mut self) -> Result<Option<Frame<T, H>>, DecodeError> {
        if let Phase::Failed(error) = &self.phase {
            return Err(error.clone());
        }
        let popped = self.next_frame();
        if let Err(error) = &popped {
            self.fail(error.clone());
        }
        popped
    }

    fn next_frame(&mut self) -> Result<Option<Frame<T, H>>, DecodeError> {
        loop {
            let Some(header) = self.next_header()? else { return Ok(None) };
            let end = HEADER_LEN + header.length();
            let Some(body) = self.buffer.filled().get(HEADER_LEN..end) else { return Ok(None) };
            if header.handles() > 0 {
                self.handles.frame(header.flags.group);
            }
            let handles = self.handles.take(header.handles())?;
            let frame = match header.kind {
                FrameKind::Hello => {
                    self.phase = Phase::Open;
                    Some(Frame::Hello(Hello::parse(body)?))
                }
                FrameKind::Control => Some(parse_control(body, handles)?),
                FrameKind::User => {
                    let message = self.user.add(&header, body, handles)?;
                    message.map(|message| Frame::User {
                        payload: message.payload,
                        handles: message.handles,
                        lost: message.lost,
                        charge: message.charge,
                    })
                }
                FrameKind::Credit => Some(parse_credit(body)?),
            };
            self.buffer.consume(end);
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// The header of the next frame, of which the body may be missing.
    fn next_header(&self) -> Result<Option<Header>, DecodeError> {
        let bytes = self.buffer.filled();
        let greeted = !matches!(self.phase, Phase::Greeting);
        if !greeted && !Hello::begins(bytes)? {
            return Ok(None);
        }
        let Some(header) = bytes.first_chunk() else { return Ok(None) };
        let header = Header::parse(header)?;
        if greeted && header.kind == FrameKind::Hello {
            return Err(DecodeError::HelloAgain);
        }
        Ok(Some(header))
    }
}

impl<T, H> Default for Decoder<T, H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, H> fmt::Debug for Decoder<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("phase", &self.phase)
            .field("filled", &self.buffer.filled().len())
            .field("handles", &self.handles.len())
            .finish_non_exhaustive()
    }
}

/// How far the stream is.
#[derive(Debug)]
enum Phase {
    /// The hello is not complete.
    Greeting,
    /// Everything but a hello may come.
    Open,
    /// Nothing comes any more.
    Failed(DecodeError),
}

fn parse_control<T: ControlMessage, H>(
    body: &[u8],
    (handles, lost): (Vec<H>, usize),
) -> Result<Frame<T, H>, DecodeError> {
    let (message, rest) = postcard::take_from_bytes::<T>(body)
        .map_err(|_| DecodeError::Malformed(FrameKind::Control))?;
    if !rest.is_empty() {
        return Err(DecodeError::TrailingBytes(rest.len()));
    }
    let (expected, found) = (message.handles(), handles.len() + lost);
    if expected != found {
        return Err(DecodeError::HandleCount { expected, found });
    }
    Ok(Frame::Control { message, handles })
}

fn parse_credit<T, H>(body: &[u8]) -> Result<Frame<T, H>, DecodeError> {
    let bytes = body.try_into().map_err(|_| DecodeError::Malformed(FrameKind::Credit))?;
    Ok(Frame::Credit(u32::from_le_bytes(bytes)))
}
