//! Small messages need no allocation of their own. In a program of its own, since all
//! allocations are counted.

use cluster_core::ToWorker;
use cluster_ipc::{Decoder, Encoder, Encoding, Frame, Hello, Payload};
use dhat::{Alloc, HeapStats, Profiler};

#[global_allocator]
static COUNTS: Alloc = Alloc;

/// Once the buffers are there, thousands of messages go through both ends without any.
#[test]
fn small_messages_allocate_nothing() {
    let _counting = Profiler::builder().testing().build();
    let mut encoder = Encoder::<()>::new(&Hello::new("test").unwrap());
    let mut decoder = Decoder::<ToWorker, ()>::new();
    let mut transfer = |numbers: std::ops::Range<u64>| {
        for number in numbers.clone() {
            let payload = Payload::encode(Encoding::Postcard, &(number, [7_u8; 16])).unwrap();
            encoder.push_user(payload, Vec::new()).unwrap();
        }
        let mut numbers = numbers;
        while let Some(chunk) = encoder.chunk() {
            let spare = decoder.spare();
            let sent = chunk.bytes.len().min(spare.len());
            spare[..sent].copy_from_slice(&chunk.bytes[..sent]);
            decoder.filled(sent, []);
            drop(encoder.advance(sent));
            while let Some(frame) = decoder.pop().unwrap() {
                if let Frame::User { payload, charge, .. } = frame {
                    let (number, _) = payload.decode::<(u64, [u8; 16])>().unwrap();
                    assert_eq!(Some(number), numbers.next());
                    decoder.consumed(charge);
                }
            }
            if let Some(credit) = decoder.credit_due() {
                encoder.grant(credit);
            }
        }
        assert_eq!(numbers.next(), None, "all have come");
    };
    transfer(0..BURST);
    let before = HeapStats::get().total_blocks;
    for round in 1..=10 {
        transfer(round * BURST..(round + 1) * BURST);
    }
    assert_eq!(HeapStats::get().total_blocks - before, 0);
}

const BURST: u64 = 1000;
