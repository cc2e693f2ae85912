//! The examples that show patterns of use, as their users have them: real programs, started,
//! asked, killed and ended.
//!
//! Nothing is waited for by time: what is waited for are lines, answers, ends of pipes. Only
//! where a promise is about time (a limit, a budget) does a test take so long.

#![forbid(unsafe_code)]

#[path = "../http/client.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod client;
#[path = "../http/example.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod example;
#[path = "../http/processes.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod processes;
#[path = "../http/transcript.rs"]
#[allow(dead_code, reason = "these tests use a part of what those of the http example use")]
mod transcript;

mod announce;
mod graceful;
mod harness;
mod pool;
mod rolling;
mod status;
mod sticky;
mod watchdog;
