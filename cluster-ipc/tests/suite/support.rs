//! Counted handles, frames written by hand, and frames seen.

use std::cell::Cell;
use std::rc::Rc;

use cluster_core::{ListenerId, ToWorker};
use cluster_ipc::{ControlMessage, DecodeError, Decoder, Encoder, Encoding, Frame, Hello};

/// Makes handles and knows how many of them there are.
#[derive(Debug, Default)]
pub(crate) struct Pool(Rc<Cell<usize>>);

impl Pool {
    pub(crate) fn handle(&self, name: u32) -> Handle {
        self.0.set(self.0.get() + 1);
        Handle { name, live: Rc::clone(&self.0) }
    }

    pub(crate) fn handles(&self, names: impl IntoIterator<Item = u32>) -> Vec<Handle> {
        names.into_iter().map(|name| self.handle(name)).collect()
    }

    pub(crate) fn live(&self) -> usize {
        self.0.get()
    }
}

/// Stands for a descriptor: it can be lost, it can be duplicated, and both show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) name: u32,
    live: Rc<Cell<usize>>,
}

impl Handle {
    /// What sendmsg(2) does: the receiver gets another descriptor of the same file.
    pub(crate) fn duplicate(&self) -> Self {
        Pool(Rc::clone(&self.live)).handle(self.name)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.live.set(self.live.get() - 1);
    }
}

pub(crate) fn names(handles: &[Handle]) -> Vec<u32> {
    handles.iter().map(|handle| handle.name).collect()
}

/// A frame without what cannot be compared: handles are names, and the charge is paid back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen<T = ToWorker> {
    Hello(String),
    Control(T, Vec<u32>),
    User(Encoding, Vec<u8>, Vec<u32>),
    Credit(u32),
}

impl<T> Seen<T> {
    /// Looks at a frame; the application takes it at once.
    pub(crate) fn take(decoder: &mut Decoder<T, Handle>, frame: Frame<T, Handle>) -> Self {
        match frame {
            Frame::Hello(hello) => Self::Hello(hello.build().to_owned()),
            Frame::Control { message, handles } => Self::Control(message, names(&handles)),
            Frame::User { payload, handles, charge, lost: _ } => {
                decoder.consumed(charge);
                Self::User(payload.encoding(), payload.into_bytes(), names(&handles))
            }
            Frame::Credit(bytes) => Self::Credit(bytes),
        }
    }
}

/// Everything that can be popped, and why it ended there.
pub(crate) fn pop_all<T: ControlMessage>(
    decoder: &mut Decoder<T, Handle>,
    seen: &mut Vec<Seen<T>>,
) -> Result<(), DecodeError> {
    while let Some(frame) = decoder.pop()? {
        let frame = Seen::take(decoder, frame);
        seen.push(frame);
    }
    decoder.credit_due();
    Ok(())
}

/// Reads bytes into a decoder in pieces of at most `piece`, popping after each.
pub(crate) fn feed<T: ControlMessage>(
    decoder: &mut Decoder<T, Handle>,
    mut bytes: &[u8],
    piece: usize,
    seen: &mut Vec<Seen<T>>,
) -> Result<(), DecodeError> {
    while !bytes.is_empty() {
        let spare = decoder.spare();
        let len = bytes.len().min(piece).min(spare.len());
        let (now, later) = bytes.split_at(len);
        spare[..len].copy_from_slice(now);
        decoder.filled(len, []);
        pop_all(decoder, seen)?;
        bytes = later;
    }
    Ok(())
}

/// Sends and decodes all that an encoder has; what it cannot send for want of credit stays.
pub(crate) fn transfer<T: ControlMessage>(
    encoder: &mut Encoder<Handle>,
    decoder: &mut Decoder<T, Handle>,
) -> Vec<Seen<T>> {
    let mut seen = Vec::new();
    while let Some(chunk) = encoder.chunk() {
        let spare = decoder.spare();
        let len = chunk.bytes.len().min(spare.len());
        spare[..len].copy_from_slice(&chunk.bytes[..len]);
        decoder.filled(len, chunk.handles.iter().map(Handle::duplicate));
        encoder.advance(len);
        while let Some(frame) = decoder.pop().expect("an encoder's frames are valid") {
            seen.push(Seen::take(decoder, frame));
        }
        if let Some(credit) = decoder.credit_due() {
            encoder.grant(credit);
        }
    }
    seen
}

/// An encoder and a decoder between which the hello has passed.
pub(crate) fn greeted<T: ControlMessage>() -> (Encoder<Handle>, Decoder<T, Handle>) {
    let (mut encoder, mut decoder) = (encoder(), Decoder::new());
    assert_eq!(transfer(&mut encoder, &mut decoder).len(), 1);
    (encoder, decoder)
}

pub(crate) fn encoder() -> Encoder<Handle> {
    Encoder::new(&Hello::new("test").expect("the name is short"))
}

/// The bytes of the hello of [`encoder`].
pub(crate) fn hello() -> Vec<u8> {
    frame(HELLO, 0, 0, b"cluster\n\x01\0test")
}

/// A message that carries a descriptor.
pub(crate) fn passage(listener: u32) -> ToWorker {
    ToWorker::Passage { listener: ListenerId(listener) }
}

pub(crate) const HELLO: u8 = 1;
pub(crate) const CONTROL: u8 = 2;
pub(crate) const USER: u8 = 3;
pub(crate) const CREDIT: u8 = 4;

pub(crate) const MORE: u8 = 1;
pub(crate) const JSON: u8 = 2;

/// A frame by hand, valid or not.
pub(crate) fn frame(kind: u8, flags: u8, handles: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, flags, handles, body.len());
    bytes.extend(body);
    bytes
}

/// A header by hand, valid or not.
pub(crate) fn header(kind: u8, flags: u8, handles: u16, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).expect("a test's length fits");
    [&[kind, flags][..], &handles.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// A short stream with every kind of frame, every flag, and handles; fragments are shorter than
/// an encoder would make them. The names of the handles are 0, 1, 2, ...
pub(crate) struct Transcript {
    pub(crate) frames: Vec<Vec<u8>>,
    /// Each handle, by the byte of the stream that it comes with.
    pub(crate) riding: Vec<usize>,
    pub(crate) seen: Vec<Seen>,
}

impl Transcript {
    pub(crate) fn new() -> Self {
        let control = |handles: u16, message: &ToWorker| {
            let body = postcard::to_stdvec(message).expect("control messages can be serialised");
            frame(CONTROL, 0, handles, &body)
        };
        let frames = vec![
            hello(),
            control(1, &passage(1)),
            frame(USER, MORE | JSON, 2, b"[1, "),
            control(0, &ToWorker::Disconnect),
            frame(USER, MORE | JSON, 0, b""),
            frame(CREDIT, 0, 0, &[1, 2, 3, 4]),
            control(1, &passage(2)),
            frame(USER, JSON, 0, b"2]"),
            frame(USER, 0, 1, b""),
            frame(USER, 0, 0, b"one fragment"),
            control(0, &ToWorker::LeaveNoted),
        ];
        let start = |frame: usize| frames[..frame].iter().map(Vec::len).sum();
        // The two of the first user message come with it, and that of a later control frame with
        // them, as if sent in one chunk.
        let riding = vec![start(1), start(2), start(2), start(2), start(8)];
        let seen = vec![
            Seen::Hello("test".to_owned()),
            Seen::Control(passage(1), vec![0]),
            Seen::Control(ToWorker::Disconnect, vec![]),
            Seen::Credit(0x0403_0201),
            Seen::Control(passage(2), vec![3]),
            Seen::User(Encoding::Json, b"[1, 2]".to_vec(), vec![1, 2]),
            Seen::User(Encoding::Postcard, vec![], vec![4]),
            Seen::User(Encoding::Postcard, b"one fragment".to_vec(), vec![]),
            Seen::Control(ToWorker::LeaveNoted, vec![]),
        ];
        Self { frames, riding, seen }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.frames.concat()
    }
}
