//! The core's name for a descriptor.

/// What a host calls a descriptor that it owns; a plain number, free to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleName(pub u64);

/// The right to decide about one descriptor.
///
/// It is neither `Clone` nor `Copy`: a token that enters the core with an input leaves it
/// through exactly one action, and so no descriptor is closed twice or forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct HandleToken(HandleName);

impl HandleToken {
    /// A token for the descriptor that the host knows by `name`; the host makes one for each
    /// descriptor it hands to the core.
    pub const fn new(name: HandleName) -> Self {
        Self(name)
    }

    /// What the host calls the descriptor.
    pub const fn name(&self) -> HandleName {
        self.0
    }
}
