//! Whatever bytes come: no panic, the same answer wherever reads end, and no handle lost.

use cluster_core::{ToPrimary, ToWorker};
use cluster_ipc::{ControlMessage, DecodeError, Decoder, FrameKind};
use proptest::prelude::*;

use crate::support::*;

type Outcome<T> = (Vec<Seen<T>>, Result<(), DecodeError>);

/// Decodes in pieces of this size, with so many handles there from the start.
fn decode<T: ControlMessage>(bytes: &[u8], handles: u32, piece: usize) -> Outcome<T> {
    let pool = Pool::default();
    let mut decoder = Decoder::<T, Handle>::new();
    decoder.filled(0, pool.handles(0..handles));
    let mut seen = Vec::new();
    let outcome = feed(&mut decoder, bytes, piece, &mut seen);
    if let Err(error) = &outcome {
        assert_eq!(pool.live(), 0, "an error drops all handles");
        for _ in 0..2 {
            assert_eq!(decoder.pop().map(drop).as_ref(), Err(error), "an error stays");
        }
    }
    drop(decoder);
    assert_eq!(pool.live(), 0);
    (seen, outcome)
}

fn check<T: ControlMessage + PartialEq + std::fmt::Debug>(bytes: &[u8], piece: usize) {
    let at_once = decode::<T>(bytes, 40, usize::MAX);
    assert_eq!(decode::<T>(bytes, 40, piece), at_once);
    assert_eq!(decode::<T>(bytes, 40, 1), at_once);
}

/// What can befall a stream.
#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Truncate(prop::sample::Index),
    SwapFrames(prop::sample::Index, prop::sample::Index),
    RepeatFrame(prop::sample::Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<prop::sample::Index>;
        prop_oneof![
            4 => (at(), any::<u8>()).prop_map(|(i, b)| Self::Set(i, b)),
            4 => (at(), 0..8_u8).prop_map(|(i, b)| Self::Flip(i, b)),
            1 => (at(), prop::collection::vec(any::<u8>(), 1..20))
                .prop_map(|(i, b)| Self::Insert(i, b)),
            1 => (at(), 1..20_usize).prop_map(|(i, n)| Self::Remove(i, n)),
            1 => at().prop_map(Self::Truncate),
            2 => (at(), at()).prop_map(|(a, b)| Self::SwapFrames(a, b)),
            2 => at().prop_map(Self::RepeatFrame),
        ]
    }

    fn apply(self, frames: &mut Vec<Vec<u8>>) {
        // After a mutation of bytes the whole stream is one piece.
        let mut bytes = |change: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut all = frames.concat();
            if !all.is_empty() {
                change(&mut all);
            }
            *frames = vec![all];
        };
        match self {
            Self::Set(i, byte) => bytes(&mut |all| {
                let at = i.index(all.len());
                all[at] = byte;
            }),
            Self::Flip(i, bit) => bytes(&mut |all| {
                let at = i.index(all.len());
                all[at] ^= 1 << bit;
            }),
            Self::Insert(i, new) => bytes(&mut |all| {
                let at = i.index(all.len());
                all.splice(at..at, new.iter().copied());
            }),
            Self::Remove(i, count) => bytes(&mut |all| {
                let at = i.index(all.len());
                all.drain(at..(at + count).min(all.len()));
            }),
            Self::Truncate(i) => bytes(&mut |all| all.truncate(i.index(all.len()))),
            Self::SwapFrames(a, b) => {
                let (a, b) = (a.index(frames.len()), b.index(frames.len()));
                frames.swap(a, b);
            }
            Self::RepeatFrame(i) => {
                let at = i.index(frames.len());
                frames.insert(at, frames[at].clone());
            }
        }
    }
}

/// A header whose fields are near valid ones, with a body that may be shorter or longer.
fn nearly_a_frame() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0..40_usize, 1 => Just(32 * 1024), 1 => 0..100_000_usize];
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (0..6_u8, 0..5_u8, 0..4_u16, length, body, any::<bool>()).prop_map(
        |(kind, flags, handles, length, body, honest)| {
            let length = if honest { body.len() } else { length };
            [header(kind, flags, handles, length), body].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn arbitrary_bytes(
        greeted in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        piece in 1..50_usize,
    ) {
        let bytes = if greeted { [hello(), bytes].concat() } else { bytes };
        check::<ToWorker>(&bytes, piece);
        check::<ToPrimary>(&bytes, piece);
    }

    #[test]
    fn frames_that_are_nearly_valid(
        frames in prop::collection::vec(nearly_a_frame(), 0..12),
        piece in 1..50_usize,
    ) {
        let bytes = [hello(), frames.concat()].concat();
        check::<ToWorker>(&bytes, piece);
        check::<ToPrimary>(&bytes, piece);
    }

    #[test]
    fn mutated_transcripts(
        mutations in prop::collection::vec(Mutation::any(), 1..6),
        piece in 1..50_usize,
    ) {
        let mut frames = Transcript::new().frames;
        // Swaps and repetitions need the frames, so they come first.
        let (mut whole, bytes): (Vec<_>, Vec<_>) = mutations.into_iter().partition(|mutation| {
            matches!(mutation, Mutation::SwapFrames(..) | Mutation::RepeatFrame(_))
        });
        whole.extend(bytes);
        for mutation in whole {
            mutation.apply(&mut frames);
        }
        check::<ToWorker>(&frames.concat(), piece);
    }
}

/// Handles that do not come are an error for the first frame that lacks one, never a wrong handle.
#[test]
fn handles_missing() {
    let transcript = Transcript::new();
    for count in 0..transcript.riding.len() as u32 {
        let (seen, outcome) = decode::<ToWorker>(&transcript.bytes(), count, 7);
        assert!(matches!(outcome, Err(DecodeError::MissingHandle { .. })), "{outcome:?}");
        assert_eq!(transcript.seen[..seen.len()], seen);
    }
}

#[test]
fn control_bodies_are_checked_to_the_end() {
    let refused = |body: &[u8]| {
        decode::<ToWorker>(&[hello(), frame(CONTROL, 0, 0, body)].concat(), 0, 7).1.unwrap_err()
    };
    assert_eq!(refused(&[]), DecodeError::Malformed(FrameKind::Control));
    assert_eq!(refused(&[0xff]), DecodeError::Malformed(FrameKind::Control));
    let mut disconnect = postcard::to_stdvec(&ToWorker::Disconnect).unwrap();
    disconnect.extend([0, 0]);
    assert_eq!(refused(&disconnect), DecodeError::TrailingBytes(2));
}

#[test]
fn credit_has_one_length() {
    for len in 0..4 {
        let bytes = [hello(), frame(CREDIT, 0, 0, &[0; 3][..len.min(3)])].concat();
        let error = decode::<ToWorker>(&bytes, 0, 7).1.unwrap_err();
        assert_eq!(error, DecodeError::Malformed(FrameKind::Credit));
    }
}

#[test]
fn a_stream_begins_with_one_hello() {
    let outcome = |bytes: &[u8]| decode::<ToWorker>(bytes, 0, 7);
    assert_eq!(outcome(b"HTTP/1.1 200 OK").1, Err(DecodeError::NoHello));
    assert_eq!(outcome(&frame(CREDIT, 0, 0, &[0; 4])).1, Err(DecodeError::NoHello));
    assert_eq!(outcome(&frame(HELLO, 0, 0, b"CLUSTER\n\x01\0")).1, Err(DecodeError::NoHello));
    let newer = frame(HELLO, 0, 0, b"cluster\n\x02\x01");
    assert_eq!(outcome(&newer).1, Err(DecodeError::Version { ours: 1, theirs: 0x0102 }));
    let (seen, outcome) = outcome(&[hello(), hello()].concat());
    assert_eq!((seen.len(), outcome), (1, Err(DecodeError::HelloAgain)));
}

#[test]
fn an_encoding_does_not_change_inside_a_message() {
    let bytes = [hello(), frame(USER, MORE | JSON, 0, b"1"), frame(USER, 0, 0, b"2")].concat();
    assert_eq!(decode::<ToWorker>(&bytes, 0, 7).1, Err(DecodeError::MixedEncoding));
}
