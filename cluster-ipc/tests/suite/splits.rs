//! Where reads end does not matter.

use cluster_core::ToWorker;
use cluster_ipc::{Decoder, Encoding, Payload};

use crate::support::{Handle, Pool, Seen, Transcript, encoder, passage, pop_all};

/// Feeds the stream cut at these places; each handle comes with its byte.
fn decode_cut(pool: &Pool, bytes: &[u8], riding: &[usize], cuts: &[usize]) -> Vec<Seen> {
    let mut decoder = Decoder::<ToWorker, Handle>::new();
    let mut seen = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&bytes.len()]) {
        decoder.spare()[..end - start].copy_from_slice(&bytes[start..end]);
        let here = riding.iter().enumerate().filter(|(_, at)| (start..end).contains(at));
        decoder.filled(end - start, here.map(|(name, _)| pool.handle(name as u32)));
        pop_all(&mut decoder, &mut seen).unwrap();
        start = end;
    }
    seen
}

#[test]
fn cut_at_every_byte() {
    let (pool, transcript) = (Pool::default(), Transcript::new());
    let bytes = transcript.bytes();
    for cut in 0..=bytes.len() {
        let seen = decode_cut(&pool, &bytes, &transcript.riding, &[cut]);
        assert_eq!(seen, transcript.seen, "cut at {cut}");
    }
    assert_eq!(pool.live(), 0);
}

#[test]
fn cut_at_every_two_bytes() {
    let (pool, transcript) = (Pool::default(), Transcript::new());
    let bytes = transcript.bytes();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let seen = decode_cut(&pool, &bytes, &transcript.riding, &[first, second]);
            assert_eq!(seen, transcript.seen, "cut at {first} and {second}");
        }
    }
    assert_eq!(pool.live(), 0);
}

#[test]
fn byte_by_byte() {
    let (pool, transcript) = (Pool::default(), Transcript::new());
    let bytes = transcript.bytes();
    let cuts: Vec<usize> = (1..bytes.len()).collect();
    let seen = decode_cut(&pool, &bytes, &transcript.riding, &cuts);
    assert_eq!(seen, transcript.seen);
    assert_eq!(pool.live(), 0);
}

/// An encoder's own stream, cut at every byte around every header of full-sized fragments.
#[test]
fn cut_around_real_fragments() {
    let pool = Pool::default();
    let mut encoder = encoder();
    let sent: Vec<u8> = (0..70_000_u32).map(|i| (i % 251) as u8).collect();
    let payload = Payload::from_bytes(Encoding::Postcard, sent.clone());
    encoder.push_user(payload, pool.handles([0, 1])).unwrap();
    encoder.push_control(&passage(2), [pool.handle(2)]).unwrap();

    let (mut bytes, mut riding) = (Vec::new(), Vec::new());
    while let Some(chunk) = encoder.chunk() {
        riding.extend(chunk.handles.iter().map(|_| bytes.len()));
        bytes.extend(chunk.bytes);
        let len = chunk.bytes.len();
        encoder.advance(len);
    }
    // The control frame is in front, so its handle is.
    let expected = [
        Seen::Hello("test".to_owned()),
        Seen::Control(passage(2), vec![0]),
        Seen::User(Encoding::Postcard, sent, vec![1, 2]),
    ];
    let front: usize = 22 + 13;
    for fragment in [0, front, front + 32_776, front + 2 * 32_776] {
        for cut in fragment.saturating_sub(2)..fragment + 10 {
            assert_eq!(decode_cut(&pool, &bytes, &riding, &[cut]), expected, "cut at {cut}");
        }
    }
    assert_eq!(pool.live(), 0);
}
