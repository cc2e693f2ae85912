//! A user message: bytes, and how they are encoded.

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bytes::{Bytes, FEW};

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// [postcard](https://docs.rs/postcard): compact and fast, for Rust on both sides.
    ///
    /// It does not describe itself: a value can be read only as the type that was written. What
    /// asks the data for its type cannot be read at all: `serde_json::Value`, untagged and
    /// internally tagged enums, flattened and skipped fields.
    #[default]
    Postcard,
    /// JSON: larger and slower, describes itself.
    Json,
}

impl fmt::Display for Encoding {
    /// `postcard` or `JSON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postcard => "postcard",
            Self::Json => "JSON",
        })
    }
}

/// An encoded message of the application, opaque to everything between the two applications.
///
/// A small one is kept in place, and clones share the bytes of a large one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload {
    encoding: Encoding,
    bytes: Bytes,
}

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Encode`] if the value refuses, or if the encoding has no form for it.
    pub fn encode<T: Serialize + ?Sized>(
        encoding: Encoding,
        value: &T,
    ) -> Result<Self, PayloadError> {
        let bytes = match encoding {
            Encoding::Postcard => match postcard::to_slice(value, &mut [0; FEW]) {
                Ok(few) => Ok(Bytes::copy(few)),
                Err(postcard::Error::SerializeBufferFull) => {
                    postcard::to_stdvec(value).map(Bytes::from).map_err(Into::into)
                }
                Err(error) => Err(error.into()),
            },
            Encoding::Json => serde_json::to_vec(value).map(Bytes::from).map_err(Into::into),
        };
        let bytes = bytes.map_err(|source| PayloadError::Encode { encoding, source })?;
        Ok(Self { encoding, bytes })
    }

    /// Takes bytes that are encoded already. Whether they are is found out by who decodes them.
    pub fn from_bytes(encoding: Encoding, bytes: Vec<u8>) -> Self {
        Self { encoding, bytes: bytes.into() }
    }

    pub(crate) fn copy(encoding: Encoding, bytes: &[u8]) -> Self {
        Self { encoding, bytes: Bytes::copy(bytes) }
    }

    /// Decodes the value.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Decode`] if the bytes are no value of this type, and
    /// [`PayloadError::Trailing`] if there is more than one.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let encoding = self.encoding;
        let trailing = PayloadError::Trailing { encoding };
        match encoding {
            Encoding::Postcard => {
                let (value, rest) = postcard::take_from_bytes(self.bytes())
                    .map_err(|error| PayloadError::Decode { encoding, source: error.into() })?;
                if rest.is_empty() { Ok(value) } else { Err(trailing) }
            }
            Encoding::Json => {
                let mut json = serde_json::Deserializer::from_slice(self.bytes());
                let value = T::deserialize(&mut json)
                    .map_err(|error| PayloadError::Decode { encoding, source: error.into() })?;
                json.end().map(|()| value).map_err(|_| trailing)
            }
        }
    }

    /// How it is encoded.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The encoded bytes, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_vec()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Payload {
    /// Shows the size, not the bytes: they are many, and they are the application's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("encoding", &self.encoding)
            .field("len", &self.len())
            .finish()
    }
}

/// Why a value cannot become a payload, or a payload a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value cannot be encoded.
    #[error("the value cannot be encoded as {encoding}")]
    Encode {
        /// The encoding asked for.
        encoding: Encoding,
        /// What its library says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The bytes are no value of the type asked for.
    #[error("the payload, encoded as {encoding}, is no such value")]
    Decode {
        /// The payload's encoding.
        encoding: Encoding,
        /// What its library says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The payload goes on after the value.
    #[error("the payload, encoded as {encoding}, goes on after the value")]
    Trailing {
        /// The payload's encoding.
        encoding: Encoding,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Postcard, Encoding::Json];

    #[test]
    fn a_value_survives_both_encodings() {
        let value = (7_u32, Some("größer".to_owned()), vec![1.5_f64, -0.0]);
        for encoding in BOTH {
            let payload = Payload::encode(encoding, &value).unwrap();
            assert_eq!(payload.encoding(), encoding);
            assert_eq!(payload.len(), payload.bytes().len());
            assert_eq!(payload.decode::<(u32, Option<String>, Vec<f64>)>().unwrap(), value);
        }
    }

    #[test]
    fn an_unsized_value_can_be_encoded() {
        for encoding in BOTH {
            let payload = Payload::encode(encoding, "text").unwrap();
            assert_eq!(payload.decode::<String>().unwrap(), "text");
        }
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        for encoding in BOTH {
            let mut bytes = Payload::encode(encoding, &7_u8).unwrap().into_bytes();
            bytes.extend(b" 1");
            let error = Payload::from_bytes(encoding, bytes).decode::<u8>().unwrap_err();
            assert!(matches!(error, PayloadError::Trailing { encoding: e } if e == encoding));
        }
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for encoding in BOTH {
            let empty = Payload::from_bytes(encoding, Vec::new());
            assert!(empty.is_empty());
            let error = empty.decode::<u32>().unwrap_err();
            assert!(matches!(&error, PayloadError::Decode { encoding: e, .. } if *e == encoding));
            assert!(error.source().is_some());
        }
    }

    #[test]
    fn what_has_no_form_is_an_error() {
        let map = std::collections::BTreeMap::from([([1_u8], 2_u8)]);
        let error = Payload::encode(Encoding::Json, &map).unwrap_err();
        assert!(matches!(error, PayloadError::Encode { encoding: Encoding::Json, .. }));
    }

    #[test]
    fn postcard_does_not_describe_itself() {
        let value = serde_json::json!({ "a": [1, null] });
        let json = Payload::encode(Encoding::Json, &value).unwrap();
        assert_eq!(json.decode::<serde_json::Value>().unwrap(), value);
        let postcard = Payload::encode(Encoding::Postcard, &value).unwrap();
        assert!(postcard.decode::<serde_json::Value>().is_err());
    }

    #[test]
    fn debug_shows_no_bytes() {
        let payload = Payload::encode(Encoding::Postcard, "secret").unwrap();
        assert_eq!(format!("{payload:?}"), "Payload { encoding: Postcard, len: 7 }");
    }
}
