//! The wire format, byte by byte. A change here is a change of `PROTOCOL`.

use cluster_core::{ToPrimary, ToWorker};
use cluster_ipc::{Encoder, Encoding, Hello, PROTOCOL, Payload};

use crate::support::{Pool, names, passage};

#[test]
fn the_wire_format_is_this() {
    let pool = Pool::default();
    let mut encoder = Encoder::new(&Hello::new("ab 1").unwrap());
    let json = Payload::encode(Encoding::Json, "hi").unwrap();
    encoder.push_user(json, pool.handles([2, 3])).unwrap();
    let postcard = Payload::encode(Encoding::Postcard, &(300_u16, "hi")).unwrap();
    encoder.push_user(postcard, vec![]).unwrap();
    encoder.push_control(&passage(300), [pool.handle(1)]).unwrap();
    encoder.push_credit(0x0002_0000);

    #[rustfmt::skip]
    let expected = [
        // hello
        1, 0, 0, 0, 14, 0, 0, 0,
        b'c', b'l', b'u', b's', b't', b'e', b'r', b'\n', 1, 0, b'a', b'b', b' ', b'1',
        // control: ToWorker::Passage, listener 300; one handle, the first of this write
        2, 4, 1, 0, 3, 0, 0, 0,
        1, 0xac, 0x02,
        // credit
        4, 0, 0, 0, 4, 0, 0, 0,
        0, 0, 2, 0,
        // user: JSON, two handles
        3, 2, 2, 0, 4, 0, 0, 0,
        b'"', b'h', b'i', b'"',
        // user: postcard
        3, 0, 0, 0, 5, 0, 0, 0,
        0xac, 0x02, 2, b'h', b'i',
    ];
    let chunk = encoder.chunk().unwrap();
    assert_eq!(chunk.bytes, expected);
    assert_eq!(names(chunk.handles), [1, 2, 3]);
    assert_eq!(PROTOCOL, 1);
}

#[test]
fn what_is_said_about_ends_is_this() {
    let mut encoder = Encoder::<()>::new(&Hello::new("").unwrap());
    let hello = encoder.chunk().unwrap().bytes.len();
    encoder.advance(hello);
    encoder.push_control(&ToWorker::Report { ends: true }, []).unwrap();
    encoder.push_control(&ToPrimary::Finished { count: 300 }, []).unwrap();
    encoder.push_control(&ToPrimary::Reported, []).unwrap();

    #[rustfmt::skip]
    let expected = [
        // control, no handle: ToWorker::Report, ends
        2, 0, 0, 0, 2, 0, 0, 0,
        5, 1,
        // control: ToPrimary::Finished, 300
        2, 0, 0, 0, 3, 0, 0, 0,
        5, 0xac, 0x02,
        // control: ToPrimary::Reported
        2, 0, 0, 0, 1, 0, 0, 0,
        6,
    ];
    assert_eq!(encoder.chunk().unwrap().bytes, expected);
}

#[test]
fn a_long_message_is_cut_like_this() {
    let mut encoder = Encoder::<()>::new(&Hello::new("").unwrap());
    let hello = encoder.chunk().unwrap().bytes.len();
    encoder.advance(hello);
    let payload = Payload::from_bytes(Encoding::Json, vec![b' '; 32 * 1024 + 1]);
    encoder.push_user(payload, vec![(), ()]).unwrap();

    let bytes = encoder.chunk().unwrap().bytes;
    assert_eq!(bytes.len(), 8 + 32 * 1024 + 8 + 1);
    assert_eq!(bytes[..8], [3, 7, 2, 0, 0, 0x80, 0, 0]);
    assert_eq!(bytes[8 + 32 * 1024..], [3, 2, 0, 0, 1, 0, 0, 0, b' ']);
}
