//! The eight bytes in front of every frame.

use std::fmt;

use crate::error::DecodeError;
use crate::hello::HELLO_MAX;
use crate::limits::{CONTROL_MAX, FRAGMENT_MAX, HANDLES_PER_FRAME};
use crate::payload::Encoding;

/// How long a header is, in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// Where in a header its flags are.
pub(crate) const FLAGS_AT: usize = 1;

/// How long the body of a credit frame is, always, in bytes.
pub(crate) const CREDIT_LEN: usize = size_of::<u32>();

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// The greeting: first of all frames, in each direction.
    Hello = 1,
    /// A control message.
    Control = 2,
    /// A fragment of a user message.
    User = 3,
    /// Credit for the user lane of the other direction.
    Credit = 4,
}

impl FrameKind {
    fn parse(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            1 => Ok(Self::Hello),
            2 => Ok(Self::Control),
            3 => Ok(Self::User),
            4 => Ok(Self::Credit),
            unknown => Err(DecodeError::UnknownKind(unknown)),
        }
    }

    const fn length_max(self) -> usize {
        match self {
            Self::Hello => HELLO_MAX,
            Self::Control => CONTROL_MAX,
            Self::User => FRAGMENT_MAX,
            Self::Credit => CREDIT_LEN,
        }
    }

    const fn handles_max(self) -> usize {
        match self {
            Self::Control | Self::User => HANDLES_PER_FRAME,
            Self::Hello | Self::Credit => 0,
        }
    }
}

impl fmt::Display for FrameKind {
    /// `hello`, `control`, `user` or `credit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Control => "control",
            Self::User => "user",
            Self::Credit => "credit",
        })
    }
}

/// A header. One that exists is valid: it is within the limits, and it can be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FrameKind,
    pub(crate) flags: Flags,
    handles: u16,
    length: u32,
}

impl Header {
    /// The header of a frame other than a fragment.
    pub(crate) fn new(kind: FrameKind, handles: usize, length: usize) -> Self {
        Self::valid(kind, Flags::default(), handles, length)
    }

    /// The header of a fragment of a user message.
    pub(crate) fn user(flags: Flags, handles: usize, length: usize) -> Self {
        Self::valid(FrameKind::User, flags, handles, length)
    }

    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        let [kind, flags, handles @ .., l0, l1, l2, l3] = *bytes;
        let kind = FrameKind::parse(kind)?;
        let flags = Flags::parse(kind, flags)?;
        let handles = u16::from_le_bytes(handles);
        if flags.group && handles == 0 {
            return Err(DecodeError::UnknownFlags { frame: kind, flags: flags.emit() });
        }
        if usize::from(handles) > kind.handles_max() {
            let (handles, max) = (handles.into(), kind.handles_max());
            return Err(DecodeError::TooManyHandles { frame: kind, handles, max });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length as usize > kind.length_max() {
            let (len, max) = (length as usize, kind.length_max());
            return Err(DecodeError::TooLarge { frame: kind, len, max });
        }
        Ok(Self { kind, flags, handles, length })
    }

    pub(crate) fn emit(&self) -> [u8; HEADER_LEN] {
        let [h0, h1] = self.handles.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [self.kind as u8, self.flags.emit(), h0, h1, l0, l1, l2, l3]
    }

    /// How many descriptors ride on the frame.
    pub(crate) const fn handles(&self) -> usize {
        self.handles as usize
    }

    /// How long the body is.
    pub(crate) const fn length(&self) -> usize {
        self.length as usize
    }

    fn valid(kind: FrameKind, flags: Flags, handles: usize, length: usize) -> Self {
        debug_assert!(handles <= kind.handles_max(), "the lanes refuse more handles");
        debug_assert!(length <= kind.length_max(), "the lanes refuse longer bodies");
        Self { kind, flags, handles: handles as u16, length: length as u32 }
    }
}

/// What a header says of its frame. All but `group` is said of fragments only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// This fragment is not the last one of its message.
    pub(crate) more: bool,
    /// How the message is encoded; the same on all of its fragments.
    pub(crate) encoding: Encoding,
    /// Its descriptors are the first that ride on the same write: a group begins.
    pub(crate) group: bool,
}

impl Flags {
    const MORE: u8 = 1;
    const JSON: u8 = 2;
    /// In its place in the header's bytes.
    pub(crate) const GROUP: u8 = 4;

    fn parse(kind: FrameKind, byte: u8) -> Result<Self, DecodeError> {
        let known = match kind {
            FrameKind::User => Self::MORE | Self::JSON | Self::GROUP,
            FrameKind::Control => Self::GROUP,
            FrameKind::Hello | FrameKind::Credit => 0,
        };
        if byte & !known != 0 {
            return Err(DecodeError::UnknownFlags { frame: kind, flags: byte });
        }
        let encoding = if byte & Self::JSON != 0 { Encoding::Json } else { Encoding::Postcard };
        let group = byte & Self::GROUP != 0;
        Ok(Self { more: byte & Self::MORE != 0, encoding, group })
    }

    const fn emit(self) -> u8 {
        let more = if self.more { Self::MORE } else { 0 };
        let encoding = match self.encoding {
            Encoding::Postcard => 0,
            Encoding::Json => Self::JSON,
        };
        let group = if self.group { Self::GROUP } else { 0 };
        more | encoding | group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [FrameKind; 4] =
        [FrameKind::Hello, FrameKind::Control, FrameKind::User, FrameKind::Credit];

    /// All kinds and all flags, with sizes about every limit: what parses emits the same bytes,
    /// and what does not is refused for the right reason.
    #[test]
    fn parse_and_emit_are_inverse() {
        let lengths = KINDS.map(FrameKind::length_max);
        let lengths = lengths.iter().flat_map(|max| [0, max - 1, *max, max + 1]);
        let lengths: Vec<usize> = lengths.chain([u32::MAX as usize]).collect();
        let mut parsed = 0;
        for (kind, flags) in (0..=u8::MAX).flat_map(|k| (0..=u8::MAX).map(move |f| (k, f))) {
            for handles in [0, 1, 63, 64, 65, u16::MAX] {
                for length in &lengths {
                    let mut bytes = [kind, flags, 0, 0, 0, 0, 0, 0];
                    bytes[2..4].copy_from_slice(&handles.to_le_bytes());
                    bytes[4..].copy_from_slice(&(*length as u32).to_le_bytes());
                    match Header::parse(&bytes) {
                        Ok(header) => {
                            assert_eq!(header.emit(), bytes);
                            assert!(header.length() <= header.kind.length_max());
                            assert!(header.handles() <= header.kind.handles_max());
                            parsed += 1;
                        }
                        Err(error) => assert_refused_rightly(&bytes, &error),
                    }
                }
            }
        }
        // Only shows that the accepting side is not empty.
        assert!(parsed > 100, "{parsed}");
    }

    fn assert_refused_rightly(bytes: &[u8; HEADER_LEN], error: &DecodeError) {
        match *error {
            DecodeError::UnknownKind(kind) => assert!(kind == bytes[0] && !(1..=4).contains(&kind)),
            DecodeError::UnknownFlags { frame, flags } => {
                assert_eq!((frame as u8, flags), (bytes[0], bytes[1]));
                let group = flags & Flags::GROUP != 0 && bytes[2..4] != [0, 0];
                let known = match frame {
                    FrameKind::User => flags < 4 || (flags < 8 && group),
                    FrameKind::Control => flags == 0 || (flags == Flags::GROUP && group),
                    FrameKind::Hello | FrameKind::Credit => flags == 0,
                };
                assert!(!known, "{bytes:?}");
            }
            DecodeError::TooManyHandles { frame, handles, max } => {
                assert!(frame as u8 == bytes[0] && handles > max && max == frame.handles_max());
            }
            DecodeError::TooLarge { frame, len, max } => {
                assert!(frame as u8 == bytes[0] && len > max && max == frame.length_max());
            }
            ref other => panic!("not a header's error: {other:?}"),
        }
    }
}
