//! The crate from outside: everything here goes through an `Encoder` or a `Decoder`.

mod golden;
mod handles;
mod hostile;
mod lanes;
mod limits;
mod schedules;
mod splits;
mod support;
