//! Control goes first; user messages go as far as there is credit.

use cluster_core::ToWorker;
use cluster_ipc::limits::{CHUNK_TARGET, WINDOW};
use cluster_ipc::{Decoder, Encoder, Encoding, Payload};

use crate::support::{Handle, Pool, Seen, encoder, greeted, passage, pop_all, transfer};

const MIB: usize = 1024 * 1024;

fn payload(len: usize) -> Payload {
    Payload::from_bytes(Encoding::Postcard, vec![b'u'; len])
}

/// Sends one chunk; its frames, and whether there was one.
fn step(encoder: &mut Encoder<Handle>, decoder: &mut Decoder<ToWorker, Handle>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let Some(chunk) = encoder.chunk() else { return seen };
    decoder.spare()[..chunk.bytes.len()].copy_from_slice(chunk.bytes);
    decoder.filled(chunk.bytes.len(), chunk.handles.iter().map(Handle::duplicate));
    let len = chunk.bytes.len();
    encoder.advance(len);
    pop_all(decoder, &mut seen).unwrap();
    seen
}

#[test]
fn control_overtakes_a_long_message_between_fragments() {
    let pool = Pool::default();
    let (mut encoder, mut decoder) = greeted();
    encoder.push_user(payload(16 * MIB), pool.handles([1])).unwrap();
    let mut overtaken = 0;
    loop {
        encoder.grant(CHUNK_TARGET as u32 * 2);
        // One chunk is on its way when the control message comes.
        assert!(encoder.chunk().is_some());
        overtaken += 1;
        encoder.push_control(&passage(overtaken), [pool.handle(overtaken)]).unwrap();
        let mut seen = step(&mut encoder, &mut decoder);
        let user = seen.pop_if(|last| matches!(last, Seen::User(..)));
        // The message before this one came with the chunk after its push.
        let before =
            (overtaken > 1).then(|| Seen::Control(passage(overtaken - 1), vec![overtaken - 1]));
        assert_eq!(seen, Vec::from_iter(before));
        if let Some(Seen::User(_, bytes, _)) = user {
            assert_eq!(bytes.len(), 16 * MIB);
            break;
        }
    }
    assert!(overtaken > 200, "{overtaken}");
    drop((encoder, decoder));
    assert_eq!(pool.live(), 0);
}

#[test]
fn control_goes_before_users_in_a_chunk() {
    let mut encoder = encoder();
    encoder.push_user(payload(1), vec![]).unwrap();
    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    encoder.push_credit(9);
    let seen = transfer(&mut encoder, &mut Decoder::new());
    assert_eq!(
        seen,
        [
            Seen::Hello("test".to_owned()),
            Seen::Control(ToWorker::Disconnect, vec![]),
            Seen::Credit(9),
            Seen::User(Encoding::Postcard, b"u".to_vec(), vec![]),
        ]
    );
}

#[test]
fn a_message_is_written_with_its_last_byte() {
    let mut encoder = encoder();
    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    encoder.push_user(payload(5), vec![]).unwrap();
    encoder.push_credit(1);
    let len = encoder.chunk().unwrap().bytes.len();
    for _ in 0..len {
        assert_eq!(encoder.user_written(), 0);
        encoder.advance(1);
    }
    assert_eq!(encoder.user_written(), 1);
    assert!(encoder.is_idle());
}

#[test]
fn without_credit_only_control_goes() {
    let (mut encoder, mut decoder) = greeted();
    encoder.push_user(payload(2 * WINDOW as usize), vec![]).unwrap();
    while encoder.chunk().is_some() {
        assert!(!encoder.is_idle());
        step(&mut encoder, &mut decoder);
    }
    assert!(encoder.is_idle());
    assert_eq!(encoder.user_written(), 0);

    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    assert!(!encoder.is_idle());
    let seen = step(&mut encoder, &mut decoder);
    assert_eq!(seen, [Seen::Control(ToWorker::Disconnect, vec![])]);
    assert!(encoder.chunk().is_none());

    encoder.grant(WINDOW / 2);
    assert!(!encoder.is_idle());
    assert!(encoder.chunk().is_some());
}

#[test]
fn a_chunk_stays_until_some_of_it_is_sent() {
    let mut encoder = encoder();
    let first = encoder.chunk().unwrap().bytes.to_vec();
    encoder.push_control(&ToWorker::Disconnect, []).unwrap();
    assert_eq!(encoder.chunk().unwrap().bytes, first);
    encoder.advance(5);
    assert_eq!(encoder.chunk().unwrap().bytes, &first[5..]);
}
