//! No handle is lost, none comes twice, whatever happens.

use cluster_core::ToWorker;
use cluster_ipc::{DecodeError, Decoder, EncodeError, Encoding, Frame, Payload};

use crate::support::{
    CONTROL, Handle, MORE, Pool, USER, encoder, feed, frame, greeted, hello, names, passage,
};

fn small() -> Payload {
    Payload::from_bytes(Encoding::Postcard, vec![1, 2, 3])
}

#[test]
fn they_go_with_the_first_byte_and_come_back_once() {
    let pool = Pool::default();
    let mut encoder = encoder();
    encoder.push_control(&passage(1), [pool.handle(1)]).unwrap();
    encoder.push_user(small(), pool.handles([2, 3])).unwrap();
    assert_eq!(names(encoder.chunk().unwrap().handles), [1, 2, 3]);

    // The channel was full: nothing went.
    assert_eq!(encoder.advance(0).count(), 0);
    assert_eq!(names(encoder.chunk().unwrap().handles), [1, 2, 3]);

    let back: Vec<Handle> = encoder.advance(1).collect();
    assert_eq!(names(&back), [1, 2, 3]);
    drop(back);
    assert_eq!(pool.live(), 0);
    let rest = encoder.chunk().unwrap();
    assert_eq!(rest.handles.len(), 0);
    let len = rest.bytes.len();
    assert_eq!(encoder.advance(len).count(), 0);
    assert!(encoder.chunk().is_none());
}

#[test]
fn what_advance_gives_back_may_be_ignored() {
    let pool = Pool::default();
    let mut encoder = encoder();
    encoder.push_control(&passage(1), [pool.handle(1)]).unwrap();
    assert!(encoder.chunk().is_some());
    encoder.advance(1);
    assert_eq!(pool.live(), 0);
}

#[test]
fn a_message_refused_drops_its_own_and_no_others() {
    let pool = Pool::default();
    let mut encoder = encoder();
    encoder.push_control(&passage(1), [pool.handle(1)]).unwrap();
    for wrong in [vec![], vec![8, 9], vec![6, 7, 8, 9]] {
        let given = wrong.len().min(2);
        assert_eq!(
            encoder.push_control(&passage(2), pool.handles(wrong)),
            Err(EncodeError::HandleCount { expected: 1, given })
        );
    }
    assert_eq!(
        encoder.push_user(small(), pool.handles(0..65)),
        Err(EncodeError::TooManyHandles { handles: 65, max: 64 })
    );
    assert_eq!(pool.live(), 1);
    encoder.push_control(&passage(3), [pool.handle(3)]).unwrap();
    assert_eq!(names(encoder.chunk().unwrap().handles), [1, 3]);
}

#[test]
fn an_encoder_drops_what_it_has() {
    let pool = Pool::default();
    let mut encoder = encoder();
    encoder.push_control(&passage(1), [pool.handle(1)]).unwrap();
    assert!(encoder.chunk().is_some());
    encoder.push_control(&passage(2), [pool.handle(2)]).unwrap();
    encoder.push_user(small(), pool.handles([3])).unwrap();
    assert_eq!(pool.live(), 3);
    drop(encoder);
    assert_eq!(pool.live(), 0);
}

#[test]
fn a_decoder_drops_what_it_has() {
    let pool = Pool::default();
    let (_, mut decoder) = greeted::<ToWorker>();
    let bytes = frame(USER, MORE, 2, b"begun");
    decoder.spare()[..bytes.len()].copy_from_slice(&bytes);
    // Two for the message in progress, one ahead of its frame.
    decoder.filled(bytes.len(), pool.handles(0..3));
    assert_eq!(decoder.pop(), Ok(None));
    assert_eq!(pool.live(), 3);
    drop(decoder);
    assert_eq!(pool.live(), 0);
}

#[test]
fn an_error_drops_what_is_held_and_what_still_comes() {
    let pool = Pool::default();
    let (_, mut decoder) = greeted::<ToWorker>();
    let bytes = [frame(USER, MORE, 2, b"begun"), frame(9, 0, 0, b"")].concat();
    decoder.spare()[..bytes.len()].copy_from_slice(&bytes);
    decoder.filled(bytes.len(), pool.handles(0..3));
    assert_eq!(decoder.pop(), Err(DecodeError::UnknownKind(9)));
    assert_eq!(pool.live(), 0);

    for _ in 0..1000 {
        assert!(decoder.spare().len() >= 64 * 1024);
        decoder.filled(64 * 1024, pool.handles(0..253));
        assert_eq!(pool.live(), 0);
        assert_eq!(decoder.pop(), Err(DecodeError::UnknownKind(9)));
    }
}

#[test]
fn frames_in_front_of_an_error_come_out_with_theirs() {
    let pool = Pool::default();
    let (_, mut decoder) = greeted::<ToWorker>();
    let control = frame(CONTROL, 0, 1, &postcard::to_stdvec(&passage(1)).unwrap());
    let bytes = [control, frame(9, 0, 0, b"")].concat();
    decoder.spare()[..bytes.len()].copy_from_slice(&bytes);
    decoder.filled(bytes.len(), pool.handles([5, 6]));
    let Ok(Some(Frame::Control { handles, .. })) = decoder.pop() else { panic!("no control") };
    assert_eq!(decoder.pop(), Err(DecodeError::UnknownKind(9)));
    assert_eq!(names(&handles), [5]);
    assert_eq!(pool.live(), 1);
}

/// Who has no room for descriptors loses them, and knows which frames they belonged to.
#[test]
fn frames_come_without_what_was_lost_and_later_ones_with_theirs() {
    let pool = Pool::default();
    let (mut encoder, mut decoder) = greeted::<ToWorker>();
    let mut seen = Vec::new();
    for (write, arrive) in [(1, 2), (11, 0), (21, 3)] {
        for number in write..write + 3 {
            encoder.push_control(&passage(number), [pool.handle(number)]).unwrap();
        }
        let chunk = encoder.chunk().unwrap();
        let bytes = chunk.bytes.len();
        decoder.spare()[..bytes].copy_from_slice(chunk.bytes);
        let arrived = chunk.handles.iter().take(arrive).map(Handle::duplicate);
        if arrive < 3 {
            decoder.filled_lossy(bytes, arrived);
        } else {
            decoder.filled(bytes, arrived);
        }
        encoder.advance(bytes);
        while let Some(frame) = decoder.pop().unwrap() {
            let Frame::Control { handles, .. } = frame else { panic!("{frame:?}") };
            seen.push(names(&handles));
        }
    }
    let nothing = Vec::<u32>::new;
    let first = [vec![1], vec![2], nothing()];
    let second = [nothing(), nothing(), nothing()];
    assert_eq!(seen, [first, second, [vec![21], vec![22], vec![23]]].concat());
}

#[test]
fn a_frame_without_its_handles_is_an_error() {
    let pool = Pool::default();
    let mut decoder = Decoder::<ToWorker, Handle>::new();
    let bytes = [hello(), frame(USER, 0, 3, b"")].concat();
    decoder.filled(0, pool.handles([1, 2]));
    let mut seen = Vec::new();
    assert_eq!(
        feed(&mut decoder, &bytes, 1, &mut seen),
        Err(DecodeError::MissingHandle { expected: 3, held: 2 })
    );
    assert_eq!(seen.len(), 1);
    assert_eq!(pool.live(), 0);
}

#[test]
fn a_control_message_must_have_its_number() {
    let passage = postcard::to_stdvec(&passage(1)).unwrap();
    let disconnect = postcard::to_stdvec(&ToWorker::Disconnect).unwrap();
    for (body, expected, found) in [(passage, 1, 2), (disconnect, 0, 1)] {
        let pool = Pool::default();
        let (_, mut decoder) = greeted::<ToWorker>();
        decoder.filled(0, pool.handles([1, 2, 3]));
        let bytes = frame(CONTROL, 0, found as u16, &body);
        assert_eq!(
            feed(&mut decoder, &bytes, 100, &mut Vec::new()),
            Err(DecodeError::HandleCount { expected, found })
        );
        assert_eq!(pool.live(), 0);
    }
}

#[test]
fn a_fragment_that_continues_may_have_none() {
    let pool = Pool::default();
    let (_, mut decoder) = greeted::<ToWorker>();
    decoder.filled(0, pool.handles([1, 2]));
    let bytes = [frame(USER, MORE, 1, b"a"), frame(USER, 0, 1, b"b")].concat();
    let error = feed(&mut decoder, &bytes, 100, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, DecodeError::TooManyHandles { handles: 1, max: 0, .. }), "{error}");
    assert_eq!(pool.live(), 0);
}
