//! What a worker has to do.

/// How many connections a worker has, as far as its primary knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// Handed over to it, and not accepted yet.
    pub untaken: usize,
    /// Handed over, accepted, and not finished: their [`Claim`](crate::Claim)s live. That of a
    /// tracked stream lives as long as the stream; one from a plain `accept` counts as finished at
    /// once. Known under schedules that count ([`Schedule::counts`](crate::Schedule::counts)); else
    /// 0. If such a one has just come into force, it is 0 until the worker has told what has ended
    /// before.
    pub open: usize,
}
