//! Channels: bytes, descriptors, ends and shortages.

mod support;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cluster_sys::channel::{Channel, HANDLES_MAX, ReceiveError};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::support::{alone, descriptors, limit_descriptors, limit_with_room_for, target};

#[test]
fn bytes_go_both_ways_and_then_the_end() {
    let (a, b) = pair();
    assert_eq!(a.send(b"one", &[]).unwrap(), 3);
    assert_eq!(b.send(b"two", &[]).unwrap(), 3);
    assert_eq!(receive(&b), (b"one".to_vec(), 0));
    assert_eq!(receive(&a), (b"two".to_vec(), 0));
    drop(a);
    assert_eq!(receive(&b), (vec![], 0));
}

#[test]
fn the_end_comes_behind_what_was_sent() {
    let (a, b) = pair();
    a.send(b"last", &[]).unwrap();
    a.shutdown_write().unwrap();
    assert_eq!(a.send(b"more", &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(receive(&b), (b"last".to_vec(), 0));
    assert_eq!(receive(&b), (vec![], 0));
    b.send(b"answer", &[]).unwrap();
    assert_eq!(receive(&a), (b"answer".to_vec(), 0));
}

#[test]
fn a_peer_that_left_bytes_unread_has_ended_too() {
    let (a, b) = pair();
    b.send(b"from it", &[]).unwrap();
    a.send(b"unread", &[]).unwrap();
    drop(b);
    assert_eq!(receive(&a), (b"from it".to_vec(), 0));
    assert_eq!(receive(&a), (vec![], 0));
    assert_eq!(receive(&a), (vec![], 0));
}

#[test]
fn sending_to_nobody_is_an_error_and_no_signal() {
    alone("sending_to_nobody_is_an_error_and_no_signal", || {
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        let (a, b) = pair();
        drop(b);
        assert_eq!(a.send(b"x", &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn both_ends_are_close_on_exec_and_only_ours_is_non_blocking() {
    let (ours, theirs) = Channel::pair().unwrap();
    assert_eq!(flags(ours.as_fd()), (true, true));
    assert_eq!(flags(theirs.as_fd()), (true, false));
}

#[test]
fn adopting_sets_both_flags() {
    let (_ours, theirs) = Channel::pair().unwrap();
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    assert_eq!(flags(theirs.as_fd()), (false, false));
    let channel = Channel::adopt(theirs).unwrap();
    assert_eq!(flags(channel.as_fd()), (true, true));
}

#[test]
fn nothing_to_receive_would_block() {
    let (a, _b) = pair();
    let error = a.receive(&mut [0; 8], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ReceiveError::WouldBlock), "{error:?}");
}

#[test]
fn a_full_channel_would_block_and_loses_nothing() {
    let (a, b) = pair();
    let bytes = [7; 8192];
    let mut sent = 0;
    loop {
        match a.send(&bytes, &[]) {
            Ok(count) => sent += count,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    // Also with a handle, of which then nothing is on its way.
    let file = null();
    assert_eq!(a.send(&bytes, &[file.as_fd()]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut received = 0;
    while received < sent {
        let (bytes, handles) = receive(&b);
        assert_eq!(handles, 0);
        received += bytes.len();
    }
    assert_eq!(received, sent);
    assert_eq!(a.send(b"again", &[]).unwrap(), 5);
    assert_eq!(receive(&b), (b"again".to_vec(), 0));
}

#[test]
fn one_descriptor_arrives_close_on_exec() {
    let (a, b) = pair();
    let (one, another) = Channel::pair().unwrap();
    a.send(b"x", &[another.as_fd()]).unwrap();
    let mut handles = vec![];
    assert_eq!(b.receive(&mut [0; 8], &mut handles).unwrap(), 1);
    let [arrived] = <[OwnedFd; 1]>::try_from(handles).unwrap();
    assert_eq!(target(&arrived), target(&another));
    assert_eq!(flags(arrived.as_fd()), (true, false));
    drop(another);
    let arrived = Channel::adopt(arrived).unwrap();
    arrived.send(b"through it", &[]).unwrap();
    assert_eq!(receive(&one), (b"through it".to_vec(), 0));
}

#[test]
fn as_many_descriptors_as_the_kernel_takes_arrive_in_order() {
    let (a, b) = pair();
    let pairs: Vec<_> = (0..HANDLES_MAX).map(|_| std::io::pipe().unwrap()).collect();
    let sent: Vec<BorrowedFd<'_>> = pairs.iter().map(|(reader, _)| reader.as_fd()).collect();
    a.send(b"x", &sent).unwrap();
    let mut handles = vec![];
    assert_eq!(b.receive(&mut [0; 8], &mut handles).unwrap(), 1);
    assert_eq!(handles.len(), HANDLES_MAX);
    for (sent, arrived) in sent.iter().zip(&handles) {
        assert_eq!(target(sent), target(arrived));
    }
}

#[test]
fn one_descriptor_more_is_refused_and_nothing_sent() {
    let (a, b) = pair();
    let file = null();
    let error = a.send(b"x", &vec![file.as_fd(); HANDLES_MAX + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = b.receive(&mut [0; 8], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ReceiveError::WouldBlock), "{error:?}");
}

#[test]
fn descriptors_without_a_byte_are_refused() {
    let (a, _b) = pair();
    let error = a.send(b"", &[null().as_fd()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(a.send(b"", &[]).unwrap(), 0);
}

#[test]
fn an_empty_buffer_is_refused() {
    let (a, b) = pair();
    a.send(b"x", &[]).unwrap();
    let error = b.receive(&mut [], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ReceiveError::Io(e) if e.kind() == ErrorKind::InvalidInput));
    assert_eq!(receive(&b), (b"x".to_vec(), 0));
}

/// What the kernel does, and what frames therefore rely on: plain bytes are joined in front of a
/// message with descriptors, nothing is joined behind it.
#[test]
fn bytes_are_joined_in_front_of_descriptors_and_never_behind() {
    let (a, b) = pair();
    let file = null();
    a.send(b"ab", &[]).unwrap();
    a.send(b"cd", &[file.as_fd()]).unwrap();
    a.send(b"ef", &[]).unwrap();
    a.send(b"gh", &[file.as_fd(), file.as_fd()]).unwrap();
    a.send(b"ij", &[file.as_fd()]).unwrap();
    assert_eq!(receive(&b), (b"abcd".to_vec(), 1));
    assert_eq!(receive(&b), (b"efgh".to_vec(), 2));
    assert_eq!(receive(&b), (b"ij".to_vec(), 1));
}

#[test]
fn a_message_read_in_parts_brings_its_descriptors_once() {
    let (a, b) = pair();
    a.send(b"abcd", &[null().as_fd()]).unwrap();
    let mut handles = vec![];
    assert_eq!(b.receive(&mut [0; 2], &mut handles).unwrap(), 2);
    assert_eq!(b.receive(&mut [0; 8], &mut handles).unwrap(), 2);
    assert_eq!(handles.len(), 1);
}

#[test]
fn truncation_says_so_and_keeps_what_came() {
    alone("truncation_says_so_and_keeps_what_came", || {
        let (a, b) = pair();
        let file = null();
        for room in 0..5 {
            let mut handles = vec![null().into()];
            a.send(b"xyz", &[file.as_fd(); 5]).unwrap();
            let before = descriptors();
            limit_descriptors(limit_with_room_for(room));
            let error = b.receive(&mut [0; 8], &mut handles).unwrap_err();
            assert!(matches!(error, ReceiveError::Truncated { bytes: 3 }), "{error:?}");
            limit_descriptors(1024);
            assert_eq!(handles.len(), 1 + room, "the first of them have come");
            handles.truncate(1);
            assert_eq!(descriptors(), before, "with room for {room}");
        }
        // With enough room it works again, even with the very last descriptor.
        let mut handles = vec![];
        a.send(b"x", &[file.as_fd(); 5]).unwrap();
        limit_descriptors(limit_with_room_for(5));
        assert_eq!(b.receive(&mut [0; 8], &mut handles).unwrap(), 1);
        assert_eq!(handles.len(), 5);
    });
}

#[test]
fn without_descriptors_there_is_no_pair() {
    alone("without_descriptors_there_is_no_pair", || {
        for room in 0..2 {
            let before = descriptors();
            limit_descriptors(limit_with_room_for(room));
            let error = Channel::pair().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE));
            limit_descriptors(1024);
            assert_eq!(descriptors(), before);
        }
        limit_descriptors(limit_with_room_for(2));
        Channel::pair().unwrap();
    });
}

fn pair() -> (Channel, Channel) {
    let (a, b) = Channel::pair().unwrap();
    (a, Channel::adopt(b).unwrap())
}

fn null() -> File {
    File::open("/dev/null").unwrap()
}

/// One receive: its bytes and how many handles came.
#[track_caller]
fn receive(channel: &Channel) -> (Vec<u8>, usize) {
    let mut buffer = [0; 16384];
    let mut handles = vec![];
    let count = channel.receive(&mut buffer, &mut handles).unwrap();
    (buffer[..count].to_vec(), handles.len())
}

/// Whether it is close-on-exec, and whether it is non-blocking.
fn flags(fd: BorrowedFd<'_>) -> (bool, bool) {
    let of_descriptor = FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD).unwrap());
    let of_file = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    (of_descriptor.contains(FdFlag::FD_CLOEXEC), of_file.contains(OFlag::O_NONBLOCK))
}
