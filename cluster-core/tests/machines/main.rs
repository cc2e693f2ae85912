//! The machines of `cluster-core`, led through their lives in a world that is all in memory.
//!
//! * [`lifecycles`], [`sharing`], [`handing`]: golden transcripts, each ends with "and nothing
//!   else";
//! * [`every_primary`], [`every_agent`]: the small space, exhausted;
//! * [`random`]: the large one, by seed;
//! * [`limits`]: each limit, reached.

mod world;

mod handing;
mod lifecycles;
mod limits;
mod random;
mod sharing;
