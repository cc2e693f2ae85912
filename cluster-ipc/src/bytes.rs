//! The bytes of a payload.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes that are not changed any more. Few of them are kept in place, without an allocation;
/// clones share many.
#[derive(Clone)]
pub(crate) enum Bytes {
    Few { len: u8, bytes: [u8; FEW] },
    Many(Arc<Vec<u8>>),
}

impl Bytes {
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        if bytes.len() > FEW {
            return Self::Many(Arc::new(bytes.to_vec()));
        }
        let mut few = [0; FEW];
        few[..bytes.len()].copy_from_slice(bytes);
        Self::Few { len: bytes.len() as u8, bytes: few }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Few { len, bytes } => &bytes[..usize::from(*len)],
            Self::Many(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => usize::from(*len),
            Self::Many(bytes) => bytes.len(),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Few { .. } => self.as_slice().to_vec(),
            Self::Many(bytes) => Arc::unwrap_or_clone(bytes),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() > FEW { Self::Many(Arc::new(bytes)) } else { Self::copy(&bytes) }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// So many are few: with them, a payload is as large as six pointers.
pub(crate) const FEW: usize = 38;

const _: () = assert!(size_of::<Bytes>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_however_they_are_kept() {
        for len in [0, 1, FEW - 1, FEW, FEW + 1, 10 * FEW] {
            let bytes: Vec<u8> = (0..len).map(|it| it as u8).collect();
            let kept = Bytes::from(bytes.clone());
            assert_eq!(kept.len(), len);
            assert_eq!(matches!(kept, Bytes::Few { .. }), len <= FEW);
            assert!(kept == Bytes::copy(&bytes));
            assert_eq!(kept.clone().into_vec(), bytes);
            assert_eq!(kept.into_vec(), bytes);
        }
    }

    #[test]
    fn clones_share_many() {
        let kept = Bytes::from(vec![7; FEW + 1]);
        assert_eq!(kept.clone().as_slice().as_ptr(), kept.as_slice().as_ptr());
    }
}
