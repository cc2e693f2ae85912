//! The greeting: who speaks, and in which version of the protocol.

use crate::error::{DecodeError, EncodeError};
use crate::header::{FrameKind, HEADER_LEN};
use crate::limits::HELLO_BUILD_MAX;

/// The version of the wire format that this crate speaks.
pub const PROTOCOL: u16 = 1;

/// The largest body of a hello.
pub(crate) const HELLO_MAX: usize = PREAMBLE_LEN + HELLO_BUILD_MAX;

/// The first frame in each direction, exactly once.
///
/// The version of the protocol is checked by the decoder. The build is not: what to do about a
/// peer of another build is the receiver's decision.
///
/// Body: eight bytes of magic, the version as `u16`, and the build as UTF-8 up to the end. Magic
/// and version stay where they are in all versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    build: String,
}

impl Hello {
    /// The greeting of a program of this build, which may be any name, even an empty one.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] for a name beyond [`HELLO_BUILD_MAX`].
    pub fn new(build: impl Into<String>) -> Result<Self, EncodeError> {
        let build = build.into();
        if build.len() > HELLO_BUILD_MAX {
            return Err(EncodeError::TooLarge { len: build.len(), max: HELLO_BUILD_MAX });
        }
        Ok(Self { build })
    }

    /// The name of the build.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// Looks at the very first bytes of a stream: whether they begin a hello of our version.
    /// `false` says that more of them are needed.
    ///
    /// It comes before all other checks, because a hello of another version may be invalid in
    /// this one, and the version is what should be complained of.
    pub(crate) fn begins(stream: &[u8]) -> Result<bool, DecodeError> {
        let Some((header, body)) = stream.split_first_chunk::<HEADER_LEN>() else {
            return Ok(false);
        };
        let [kind, _, _, _, length @ ..] = *header;
        let length = u32::from_le_bytes(length) as usize;
        if kind != FrameKind::Hello as u8 || length < PREAMBLE_LEN {
            return Err(DecodeError::NoHello);
        }
        let Some(preamble) = body.first_chunk::<PREAMBLE_LEN>() else {
            return Ok(false);
        };
        let [magic @ .., v0, v1] = *preamble;
        if magic != MAGIC {
            return Err(DecodeError::NoHello);
        }
        match u16::from_le_bytes([v0, v1]) {
            PROTOCOL => Ok(true),
            theirs => Err(DecodeError::Version { ours: PROTOCOL, theirs }),
        }
    }

    /// Parses the body of a frame that [`begins`](Self::begins) has approved.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let build = body.get(PREAMBLE_LEN..).and_then(|build| str::from_utf8(build).ok());
        let build = build.ok_or(DecodeError::Malformed(FrameKind::Hello))?;
        Ok(Self { build: build.to_owned() })
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        [&MAGIC[..], &PROTOCOL.to_le_bytes(), self.build.as_bytes()].concat()
    }
}

const MAGIC: [u8; 8] = *b"cluster\n";
const PREAMBLE_LEN: usize = MAGIC.len() + size_of::<u16>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Header;

    fn stream(hello: &Hello) -> Vec<u8> {
        let body = hello.emit();
        let header = Header::new(FrameKind::Hello, 0, body.len());
        [&header.emit()[..], &body].concat()
    }

    #[test]
    fn a_hello_survives_the_wire() {
        for build in ["", "example 0.1.0", "größer"] {
            let hello = Hello::new(build).unwrap();
            assert_eq!(Hello::parse(&hello.emit()), Ok(hello));
        }
    }

    #[test]
    fn the_name_of_a_build_is_limited() {
        let longest = Hello::new("b".repeat(HELLO_BUILD_MAX)).unwrap();
        assert_eq!(longest.emit().len(), HELLO_MAX);
        assert_eq!(
            Hello::new("b".repeat(HELLO_BUILD_MAX + 1)),
            Err(EncodeError::TooLarge { len: HELLO_BUILD_MAX + 1, max: HELLO_BUILD_MAX })
        );
    }

    #[test]
    fn a_beginning_is_judged_as_soon_as_it_can_be() {
        let stream = stream(&Hello::new("b").unwrap());
        for end in 0..HEADER_LEN + PREAMBLE_LEN {
            assert_eq!(Hello::begins(&stream[..end]), Ok(false));
        }
        assert_eq!(Hello::begins(&stream[..HEADER_LEN + PREAMBLE_LEN]), Ok(true));
        assert_eq!(Hello::begins(b"GET / HT"), Err(DecodeError::NoHello));
        assert_eq!(Hello::begins(&[1, 0, 0, 0, 9, 0, 0, 0]), Err(DecodeError::NoHello));
    }

    #[test]
    fn another_version_is_named_even_where_its_hello_is_foreign() {
        let mut stream = stream(&Hello::new("b").unwrap());
        stream[1] = 0xff;
        stream[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        stream[HEADER_LEN + MAGIC.len()] = 7;
        assert_eq!(Hello::begins(&stream), Err(DecodeError::Version { ours: 1, theirs: 7 }));
        stream[HEADER_LEN] = b'C';
        assert_eq!(Hello::begins(&stream), Err(DecodeError::NoHello));
    }

    #[test]
    fn a_name_that_is_no_text_is_malformed() {
        let body = [&MAGIC[..], &[1, 0], &[0xff]].concat();
        assert_eq!(Hello::parse(&body), Err(DecodeError::Malformed(FrameKind::Hello)));
    }
}
