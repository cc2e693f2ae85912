//! The machines of `cluster-core`, led through their lives in a world that is all in memory.
//!
//! * [`lifecycles`], [`ends`], [`sharing`], [`handing`], [`accepting`]: golden transcripts, each
//!   ends with "and nothing else";
//! * [`every`]: the small space, exhausted;
//! * [`random`]: the large one, by seed;
//! * [`limits`]: each limit, reached.

mod world;

mod accepting;
mod ends;
mod every;
mod handing;
mod lifecycles;
mod limits;
mod random;
mod sharing;
