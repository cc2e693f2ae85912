//! The hosts: a primary in this process (or in one of its own), its workers as real processes.
//!
//! Each module is a theme. Those at the top are the tools: [`driver`] drives a primary's host as
//! a runtime's adapter would, [`site`] does the same inside a worker, [`roles`] says what workers
//! do, and [`raw`] is a worker that speaks the protocol by hand.

#[path = "../support/mod.rs"]
mod support;

mod driver;
mod raw;
mod refuse;
mod roles;
mod site;

mod ends;
mod handing;
mod hostile;
mod looking;
mod messages;
mod minding;
mod patience;
mod receiving;
mod round;
mod shortage;
