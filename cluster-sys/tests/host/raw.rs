//! A worker without a host: it speaks the protocol by hand, and so it can do so badly.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cluster_core::{ToPrimary, ToWorker};
use cluster_ipc::{Decoder, Encoder, Frame, Hello, SLIP_BYTES, Slip};
use cluster_sys::channel::{Channel, ReceiveError};
use cluster_sys::invitation::Invitation;
use cluster_sys::{Address, ListenSpec, ListenerId};

use crate::support::wait_readable;

/// A worker's end of the channel.
pub(crate) struct Raw {
    pub(crate) channel: Channel,
    encoder: Encoder<OwnedFd>,
    decoder: Decoder<ToWorker, OwnedFd>,
}

impl Raw {
    /// Takes the channel over and says nothing.
    pub(crate) fn silent() -> Self {
        let invitation = Invitation::from_environment().unwrap().expect("an invitation");
        let hello = Hello::new("by hand").unwrap();
        Self {
            channel: invitation.adopt().unwrap(),
            encoder: Encoder::new(&hello),
            decoder: Decoder::new(),
        }
    }

    /// Comes online.
    pub(crate) fn online() -> Self {
        let mut raw = Self::silent();
        raw.say(&ToPrimary::Online, None);
        raw
    }

    /// Comes online and shares a port of 127.0.0.1: the listener, and where connections arrive.
    pub(crate) fn listening() -> (Self, ListenerId, Outlet) {
        let mut raw = Self::online();
        let spec = ListenSpec::new(Address::Tcp("127.0.0.1:0".parse().unwrap()));
        raw.say(&ToPrimary::Listen { request: cluster_core::RequestId(1), spec }, None);
        let passage = match raw.hear() {
            Some(Frame::Control { message: ToWorker::Passage { .. }, mut handles }) => {
                Outlet(Channel::adopt(handles.remove(0)).unwrap())
            }
            other => panic!("{other:?} instead of a passage"),
        };
        let listener = match raw.hear() {
            Some(Frame::Control {
                message: ToWorker::Listen { result: Ok(grant), .. }, ..
            }) => grant.listener,
            other => panic!("{other:?} instead of a grant"),
        };
        raw.say(&ToPrimary::Listening { listener }, None);
        (raw, listener, passage)
    }

    pub(crate) fn say(&mut self, message: &ToPrimary, handle: Option<OwnedFd>) {
        self.encoder.push_control(message, handle).unwrap();
        while let Some(chunk) = self.encoder.chunk() {
            let handles: Vec<_> = chunk.handles.iter().map(AsFd::as_fd).collect();
            let sent = self.channel.send(chunk.bytes, &handles).unwrap();
            self.encoder.advance(sent);
        }
    }

    /// Writes these very bytes.
    pub(crate) fn write(&self, bytes: &[u8], handles: &[BorrowedFd<'_>]) {
        assert_eq!(self.channel.send(bytes, handles).unwrap(), bytes.len());
    }

    /// The next thing that the primary says to this worker, other than who it is; `None` at the
    /// end.
    pub(crate) fn hear(&mut self) -> Option<Frame<ToWorker, OwnedFd>> {
        loop {
            match self.decoder.pop().unwrap() {
                Some(Frame::Hello(_) | Frame::Credit(_)) => {}
                Some(frame) => return Some(frame),
                None => {
                    wait_readable(&self.channel);
                    let mut handles = Vec::new();
                    match self.channel.receive(self.decoder.spare(), &mut handles) {
                        Ok(0) => return None,
                        Ok(bytes) => self.decoder.filled(bytes, handles),
                        Err(ReceiveError::WouldBlock) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }

    /// Waits until the primary closes the channel.
    pub(crate) fn await_end(mut self) {
        while self.hear().is_some() {}
    }
}

/// A worker's end of a passage, without the library.
pub(crate) struct Outlet(pub(crate) Channel);

impl Outlet {
    /// Waits for a connection, and takes it.
    pub(crate) fn connection(&self) -> (Slip, OwnedFd) {
        wait_readable(&self.0);
        let mut bytes = [0; SLIP_BYTES + 1];
        let mut handles = Vec::new();
        let count = self.0.receive(&mut bytes, &mut handles).unwrap();
        let slip = Slip::from_bytes(&bytes[..count]).expect("nothing else comes here");
        assert_eq!(handles.len(), 1);
        (slip, handles.remove(0))
    }
}

/// A frame by hand.
pub(crate) fn frame(kind: u8, flags: u8, handles: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let mut frame = vec![kind, flags];
    frame.extend(handles.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend(body);
    frame
}

pub(crate) const CONTROL: u8 = 2;
pub(crate) const USER: u8 = 3;
pub(crate) const CREDIT: u8 = 4;
