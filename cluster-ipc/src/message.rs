//! What may travel in the control lane.

use cluster_core::{ToPrimary, ToWorker};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A control message, which says of itself how many descriptors ride along. So neither an
/// [`Encoder`](crate::Encoder) nor a [`Decoder`](crate::Decoder) lets one through that comes
/// without them.
pub trait ControlMessage: Serialize + DeserializeOwned {
    /// How many descriptors ride along.
    fn handles(&self) -> usize;
}

impl ControlMessage for ToPrimary {
    fn handles(&self) -> usize {
        self.handles()
    }
}

impl ControlMessage for ToWorker {
    fn handles(&self) -> usize {
        self.handles()
    }
}
