//! Descriptors in messages.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::RawFd;

use anyhow::Result;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most descriptors that the kernel puts into one message.
pub(super) const DESCRIPTORS_MAX: usize = 253;

/// Sends `descriptors` in one message, which has a byte for each.
pub(super) fn send(channel: RawFd, descriptors: &[RawFd]) -> Result<()> {
    let bytes = [0; DESCRIPTORS_MAX];
    let text = [IoSlice::new(&bytes[..descriptors.len()])];
    let control = [ControlMessage::ScmRights(descriptors)];
    sendmsg::<()>(channel, &text, &control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives messages with descriptors, into the same memory again and again.
pub(super) struct Receiver {
    control: Vec<u8>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { control: cmsg_space!([RawFd; DESCRIPTORS_MAX]) }
    }

    /// The descriptors of the next message; none at the end of `channel`.
    pub(super) fn next(&mut self, channel: RawFd) -> Result<Vec<RawFd>> {
        let mut bytes = [0; DESCRIPTORS_MAX];
        let mut text = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(channel, &mut text, Some(&mut self.control), flags)?;
        let mut descriptors = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                descriptors.extend(received);
            }
        }
        Ok(descriptors)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use nix::unistd::close;

    use super::*;

    #[test]
    fn all_descriptors_of_a_message_arrive() {
        let (here, there) = UnixStream::pair().expect("a socketpair");
        let file = File::open("/dev/null").expect("there is one");
        let mut received = Receiver::new();
        for count in [1, 16, DESCRIPTORS_MAX] {
            send(here.as_raw_fd(), &vec![file.as_raw_fd(); count]).expect("room in the channel");
            let got = received.next(there.as_raw_fd()).expect("a message");
            assert_eq!(got.len(), count);
            got.into_iter().try_for_each(close).expect("they are open");
        }
        drop(here);
        assert!(received.next(there.as_raw_fd()).expect("the end").is_empty());
    }
}
