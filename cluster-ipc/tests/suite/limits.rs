//! Every limit is reached: exactly at it passes, one beyond is the typed error.

use cluster_core::{Address, Grant, ListenerId, RequestId, Sharing, ToWorker, UnixName};
use cluster_ipc::limits::*;
use cluster_ipc::{
    ControlMessage, DecodeError, Decoder, EncodeError, Encoding, Frame, FrameKind, Hello, Payload,
};
use serde::{Deserialize, Serialize};

use crate::support::*;

fn payload(len: usize) -> Payload {
    Payload::from_bytes(Encoding::Postcard, vec![7; len])
}

/// What a decoder says to these bytes after the hello.
fn verdict(bytes: &[u8]) -> Result<usize, DecodeError> {
    let (_, mut decoder) = greeted::<ToWorker>();
    let mut seen = Vec::new();
    feed(&mut decoder, bytes, usize::MAX, &mut seen)?;
    Ok(seen.len())
}

/// A control message of exactly this size.
fn control(len: usize) -> ToWorker {
    let grant = |name| ToWorker::Listen {
        request: RequestId(1),
        result: Ok(Grant {
            listener: ListenerId(1),
            address: Address::Unix(UnixName(name)),
            sharing: Sharing::HandedOver,
            counted: false,
            data: Vec::new(),
        }),
    };
    let around = postcard::to_stdvec(&grant(vec![b'n'; len])).unwrap().len() - len;
    let message = grant(vec![b'n'; len - around]);
    assert_eq!(postcard::to_stdvec(&message).unwrap().len(), len);
    message
}

#[test]
fn hello_build_max() {
    let longest = [&b"cluster\n\x01\0"[..], &[b'b'; HELLO_BUILD_MAX]].concat();
    let mut decoder = Decoder::<ToWorker, Handle>::new();
    let mut seen = Vec::new();
    feed(&mut decoder, &frame(HELLO, 0, 0, &longest), 1, &mut seen).unwrap();
    assert_eq!(seen, [Seen::Hello("b".repeat(HELLO_BUILD_MAX))]);

    let longer = [&longest[..], b"b"].concat();
    let mut decoder = Decoder::<ToWorker, Handle>::new();
    let (frame, max) = (FrameKind::Hello, longest.len());
    assert_eq!(
        feed(&mut decoder, &self::frame(HELLO, 0, 0, &longer), 1, &mut Vec::new()),
        Err(DecodeError::TooLarge { frame, len: max + 1, max })
    );
    assert!(Hello::new("b".repeat(HELLO_BUILD_MAX + 1)).is_err());
}

/// As many as may wait for a peer that does not read; when it does, more may.
#[test]
fn control_waiting_max() {
    let (mut encoder, mut decoder) = greeted::<ToWorker>();
    let (large, max) = (control(CONTROL_MAX - 1), CONTROL_WAITING_MAX);
    let mut pushed = 0;
    let refused = loop {
        match encoder.push_control(&large, []) {
            Ok(()) => pushed += 1,
            Err(refused) => break refused,
        }
    };
    let waiting = pushed * (8 + CONTROL_MAX - 1);
    assert!(waiting - max < CONTROL_MAX + 8, "{waiting}");
    assert_eq!(refused, EncodeError::Unread { waiting, max });
    assert_eq!(transfer(&mut encoder, &mut decoder).len(), pushed);
    encoder.push_control(&large, []).unwrap();
}

#[test]
fn control_max() {
    let (mut encoder, mut decoder) = greeted();
    let largest = control(CONTROL_MAX);
    let (len, max) = (CONTROL_MAX + 1, CONTROL_MAX);
    assert_eq!(
        encoder.push_control(&control(len), []),
        Err(EncodeError::TooLarge { len, max }),
        "and nothing of it is left in front of the next"
    );
    encoder.push_control(&largest, []).unwrap();
    assert_eq!(transfer(&mut encoder, &mut decoder), [Seen::Control(largest, vec![])]);

    let frame = FrameKind::Control;
    assert_eq!(
        verdict(&header(CONTROL, 0, 0, len)),
        Err(DecodeError::TooLarge { frame, len, max })
    );
}

#[test]
fn fragment_max() {
    let (mut encoder, _) = greeted::<ToWorker>();
    encoder.push_user(payload(FRAGMENT_MAX), vec![]).unwrap();
    let bytes = encoder.chunk().unwrap().bytes;
    assert_eq!(bytes[..8], header(USER, 0, 0, FRAGMENT_MAX));
    assert_eq!(verdict(bytes), Ok(1));

    let (frame, len, max) = (FrameKind::User, FRAGMENT_MAX + 1, FRAGMENT_MAX);
    assert_eq!(verdict(&header(USER, 0, 0, len)), Err(DecodeError::TooLarge { frame, len, max }));
}

#[test]
fn message_max() {
    let (mut encoder, mut decoder) = greeted();
    let (len, max) = (MESSAGE_MAX + 1, MESSAGE_MAX);
    assert_eq!(encoder.push_user(payload(len), vec![]), Err(EncodeError::TooLarge { len, max }));
    encoder.push_user(payload(MESSAGE_MAX), vec![]).unwrap();
    let seen: Vec<Seen> = transfer(&mut encoder, &mut decoder);
    let [Seen::User(_, bytes, _)] = &seen[..] else { panic!("one message") };
    assert_eq!(bytes.len(), MESSAGE_MAX);

    let fragment = frame(USER, MORE, 0, &[7; FRAGMENT_MAX]);
    let mut seen: Vec<Seen> = Vec::new();
    for _ in 0..MESSAGE_MAX / FRAGMENT_MAX {
        feed(&mut decoder, &fragment, usize::MAX, &mut seen).unwrap();
        decoder.credit_due();
    }
    assert_eq!(
        feed(&mut decoder, &frame(USER, 0, 0, b"7"), usize::MAX, &mut seen),
        Err(DecodeError::MessageTooLarge { len, max })
    );
}

/// A control message with any number of handles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Carrier(usize);

impl ControlMessage for Carrier {
    fn handles(&self) -> usize {
        self.0
    }
}

#[test]
fn handles_per_frame() {
    let pool = Pool::default();
    let (mut encoder, mut decoder) = greeted::<Carrier>();
    let most = HANDLES_PER_FRAME as u32;
    encoder.push_control(&Carrier(HANDLES_PER_FRAME), pool.handles(0..most)).unwrap();
    encoder.push_user(payload(1), pool.handles(0..most)).unwrap();
    let names: Vec<u32> = (0..most).collect();
    assert_eq!(
        transfer(&mut encoder, &mut decoder),
        [
            Seen::Control(Carrier(HANDLES_PER_FRAME), names.clone()),
            Seen::User(Encoding::Postcard, vec![7], names),
        ]
    );

    let (handles, max) = (HANDLES_PER_FRAME + 1, HANDLES_PER_FRAME);
    let refused = Err(EncodeError::TooManyHandles { handles, max });
    assert_eq!(encoder.push_control(&Carrier(handles), pool.handles(0..=most)), refused);
    assert_eq!(encoder.push_user(payload(1), pool.handles(0..=most)), refused);
    assert_eq!(pool.live(), 0);
    for (kind, frame) in [(CONTROL, FrameKind::Control), (USER, FrameKind::User)] {
        assert_eq!(
            verdict(&header(kind, 0, handles as u16, 0)),
            Err(DecodeError::TooManyHandles { frame, handles, max })
        );
    }
    let frame = FrameKind::Credit;
    assert_eq!(
        verdict(&header(CREDIT, 0, 1, 4)),
        Err(DecodeError::TooManyHandles { frame, handles: 1, max: 0 })
    );
}

#[test]
fn handles_per_chunk() {
    let pool = Pool::default();
    let (mut encoder, _) = greeted::<Carrier>();
    for _ in 0..HANDLES_PER_CHUNK / 50 {
        encoder.push_control(&Carrier(50), pool.handles(0..50)).unwrap();
    }
    encoder.push_control(&Carrier(1), pool.handles([50])).unwrap();
    // Users do not go around a control frame for which there is no room.
    encoder.push_user(payload(1), vec![]).unwrap();
    let chunk = encoder.chunk().unwrap();
    assert_eq!(chunk.handles.len(), HANDLES_PER_CHUNK);
    let len = chunk.bytes.len();
    encoder.advance(len);
    let chunk = encoder.chunk().unwrap();
    assert_eq!(names(chunk.handles), [50]);
    assert_eq!(chunk.bytes.len(), 8 + 1 + 8 + 1);
}

#[test]
fn handles_held_max() {
    let pool = Pool::default();
    let (_, mut decoder) = greeted::<ToWorker>();
    decoder.filled(0, pool.handles(0..HANDLES_HELD_MAX as u32));
    assert_eq!(decoder.pop(), Ok(None));
    assert_eq!(pool.live(), HANDLES_HELD_MAX);
    decoder.filled(0, pool.handles([0]));
    assert_eq!(decoder.pop(), Err(DecodeError::TooManyHeld { max: HANDLES_HELD_MAX }));
    assert_eq!(pool.live(), 0);
}

#[test]
fn chunk_target() {
    let (mut encoder, _) = greeted::<ToWorker>();
    // One byte short of the target: one more frame is taken, the largest there is.
    encoder.push_control(&control(CHUNK_TARGET - 9), []).unwrap();
    encoder.push_control(&control(CONTROL_MAX), []).unwrap();
    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    let len = encoder.chunk().unwrap().bytes.len();
    assert_eq!(len, CHUNK_TARGET - 1 + 8 + CONTROL_MAX);
    encoder.advance(len);

    let len = encoder.chunk().unwrap().bytes.len();
    encoder.advance(len);
    encoder.push_control(&control(CHUNK_TARGET - 8), []).unwrap();
    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    assert_eq!(encoder.chunk().unwrap().bytes.len(), CHUNK_TARGET);
}

#[test]
fn read_size() {
    let (mut encoder, mut decoder) = greeted::<ToWorker>();
    encoder.push_control(&control(CONTROL_MAX), []).unwrap();
    let bytes = encoder.chunk().unwrap().bytes;
    // The largest frame but for its last byte.
    feed(&mut decoder, &bytes[..bytes.len() - 1], 1000, &mut Vec::new()).unwrap();
    let room = decoder.spare().len();
    assert!(room >= READ_SIZE);
    // Frames that nobody pops fill the room, and then there is none.
    decoder.filled(room, []);
    while !decoder.spare().is_empty() {
        let room = decoder.spare().len();
        decoder.filled(room, []);
    }
}

#[test]
#[should_panic(expected = "no more can be read than there is room")]
fn read_size_exceeded() {
    let (_, mut decoder) = greeted::<ToWorker>();
    let room = decoder.spare().len();
    decoder.filled(room + 1, []);
}

#[test]
fn window() {
    // Seven full fragments and one that fills the window to the byte, in one message.
    let full = 8 + FRAGMENT_MAX;
    let last = WINDOW as usize - 7 * full - 8 - MESSAGE_OVERHEAD;
    let (mut encoder, mut decoder) = greeted::<ToWorker>();
    encoder.push_user(payload(7 * FRAGMENT_MAX + last), vec![]).unwrap();
    encoder.push_user(payload(0), vec![]).unwrap();
    let mut sent = Vec::new();
    while let Some(chunk) = encoder.chunk() {
        sent.extend(chunk.bytes);
        let len = chunk.bytes.len();
        encoder.advance(len);
    }
    assert_eq!(sent.len() + MESSAGE_OVERHEAD, WINDOW as usize);
    assert_eq!(encoder.user_written(), 1);

    // What is read is not announced here, so the other side has nothing left.
    let mut charges = Vec::new();
    for piece in sent.chunks(READ_SIZE) {
        decoder.spare()[..piece.len()].copy_from_slice(piece);
        decoder.filled(piece.len(), []);
        while let Some(frame) = decoder.pop().unwrap() {
            let Frame::User { charge, .. } = frame else { panic!("{frame:?}") };
            charges.push(charge);
        }
    }
    assert_eq!(charges.len(), 1);
    let one_more = frame(USER, MORE, 0, b"");
    decoder.spare()[..8].copy_from_slice(&one_more);
    decoder.filled(8, []);
    assert_eq!(decoder.pop(), Err(DecodeError::Overrun { charge: 8, available: 0 }));
}

#[test]
fn message_overhead() {
    let (mut encoder, _) = greeted::<ToWorker>();
    for _ in 0..10_000 {
        encoder.push_user(payload(0), vec![]).unwrap();
    }
    while let Some(chunk) = encoder.chunk() {
        let len = chunk.bytes.len();
        encoder.advance(len);
    }
    assert_eq!(encoder.user_written(), u64::from(WINDOW) / (8 + MESSAGE_OVERHEAD as u64));
}

#[test]
fn handle_overhead() {
    let pool = Pool::default();
    let (mut encoder, _) = greeted::<ToWorker>();
    for _ in 0..1000 {
        encoder.push_user(payload(0), pool.handles([0])).unwrap();
    }
    let mut handles = 0;
    while let Some(chunk) = encoder.chunk() {
        let len = chunk.bytes.len();
        handles += encoder.advance(len).count();
    }
    let charge = 8 + MESSAGE_OVERHEAD + HANDLE_OVERHEAD;
    assert_eq!(handles, WINDOW as usize / charge);
    assert!(handles < 256);
}
