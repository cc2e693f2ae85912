//! The receiving end of the user lane: fragments in, messages out.

use crate::credit::{Charge, ReceiveWindow, charge};
use crate::error::DecodeError;
use crate::header::Header;
use crate::limits::{MESSAGE_MAX, WINDOW};
use crate::payload::{Encoding, Payload};

/// A complete message.
pub(crate) struct Assembled<H> {
    pub(crate) payload: Payload,
    pub(crate) handles: Vec<H>,
    pub(crate) lost: usize,
    pub(crate) charge: Charge,
}

/// The message in progress, if there is one, and the window. It grows with the bytes that have
/// come, not with those that are claimed.
pub(crate) struct Assembly<H> {
    partial: Option<Partial<H>>,
    window: ReceiveWindow,
}

impl<H> Assembly<H> {
    pub(crate) const fn new() -> Self {
        Self { partial: None, window: ReceiveWindow::new(WINDOW) }
    }

    /// Adds a fragment, and gives out the message if that was its last one.
    pub(crate) fn add(
        &mut self,
        header: &Header,
        body: &[u8],
        (handles, lost): (Vec<H>, usize),
    ) -> Result<Option<Assembled<H>>, DecodeError> {
        let encoding = header.flags.encoding;
        let mut message = match self.partial.take() {
            Some(partial) => partial.admit(header)?,
            None if !header.flags.more => {
                let charge = self.window.complete(charge(header))?;
                let payload = Payload::copy(encoding, body);
                return Ok(Some(Assembled { payload, handles, lost, charge }));
            }
            None => Partial { encoding, bytes: Vec::new(), handles, lost },
        };
        if header.flags.more {
            self.window.fragment(charge(header))?;
            message.bytes.extend_from_slice(body);
            self.partial = Some(message);
            return Ok(None);
        }
        let charge = self.window.complete(charge(header))?;
        // The size is known now, so nothing is kept beyond it.
        message.bytes.reserve_exact(body.len());
        message.bytes.extend_from_slice(body);
        message.bytes.shrink_to_fit();
        let payload = Payload::from_bytes(message.encoding, message.bytes);
        let (handles, lost) = (message.handles, message.lost);
        Ok(Some(Assembled { payload, handles, lost, charge }))
    }

    pub(crate) fn consumed(&mut self, charge: Charge) {
        self.window.consumed(charge);
    }

    pub(crate) fn credit_due(&mut self) -> Option<u32> {
        self.window.due()
    }

    pub(crate) const fn is_mid_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Drops the message in progress.
    pub(crate) fn clear(&mut self) {
        self.partial = None;
    }
}

/// A message of which fragments are missing.
struct Partial<H> {
    encoding: Encoding,
    bytes: Vec<u8>,
    handles: Vec<H>,
    lost: usize,
}

impl<H> Partial<H> {
    /// Whether this header may continue the message.
    fn admit(self, header: &Header) -> Result<Self, DecodeError> {
        if header.handles() > 0 {
            let (frame, handles) = (header.kind, header.handles());
            return Err(DecodeError::TooManyHandles { frame, handles, max: 0 });
        }
        if header.flags.encoding != self.encoding {
            return Err(DecodeError::MixedEncoding);
        }
        let len = self.bytes.len() + header.length();
        if len > MESSAGE_MAX {
            return Err(DecodeError::MessageTooLarge { len, max: MESSAGE_MAX });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Flags;
    use crate::limits::FRAGMENT_MAX;

    fn add(assembly: &mut Assembly<()>, more: bool, body: &[u8]) -> Option<Assembled<()>> {
        let flags = Flags { more, encoding: Encoding::Json, group: false };
        assembly.add(&Header::user(flags, 0, body.len()), body, (vec![], 0)).unwrap()
    }

    #[test]
    fn memory_follows_what_has_come() {
        let mut assembly = Assembly::new();
        for count in 1..=1000 {
            assert!(add(&mut assembly, true, &[7; FRAGMENT_MAX]).is_none());
            let partial = assembly.partial.as_ref().unwrap();
            assert!(partial.bytes.capacity() <= 2 * count * FRAGMENT_MAX);
            assembly.credit_due();
        }
        let bytes = add(&mut assembly, false, b"7").unwrap().payload.into_bytes();
        assert_eq!(bytes.len(), 1000 * FRAGMENT_MAX + 1);
        assert_eq!(bytes.capacity(), bytes.len());
    }

    #[test]
    fn one_message_follows_another() {
        let mut assembly = Assembly::new();
        for body in [&b""[..], b"1", b"23"] {
            assert!(add(&mut assembly, true, body).is_none());
            let message = add(&mut assembly, false, b"end").unwrap();
            assert_eq!(message.payload.bytes(), [body, b"end"].concat());
        }
    }
}
