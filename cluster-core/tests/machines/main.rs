//! The machines of `cluster-core`, led through their lives in a world that is all in memory.
//!
//! * [`lifecycles`], [`ends`], [`sharing`], [`identity`], [`handing`], [`accepting`],
//!   [`passages`], [`refusals`], [`lending`], [`sharding`], [`slots`], [`stalling`], [`cordons`],
//!   [`burdens`], [`changes`], [`slow_starts`]: golden transcripts, each ends with "and nothing else";
//! * [`every`]: the small space, exhausted;
//! * [`random`]: the large one, by seed;
//! * [`limits`]: each limit, reached.

mod world;

mod accepting;
mod burdens;
mod changes;
mod cordons;
mod ends;
mod every;
mod handing;
mod identity;
mod lending;
mod lifecycles;
mod limits;
mod minding;
mod passages;
mod random;
mod refusals;
mod sharding;
mod sharing;
mod slots;
mod slow_starts;
mod stalling;
