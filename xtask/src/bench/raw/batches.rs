//! Descriptors, several a message.

use std::io::Read as _;
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::descriptors::DESCRIPTORS_MAX;
use super::partner::{self, Task};
use crate::bench::cpu;

/// Sends `count` descriptors, `size` a message, to a process that closes them. Prints how many
/// went a second, and what one cost both processes.
pub(super) fn run(size: usize, count: u64) -> Result<()> {
    ensure!((1..=DESCRIPTORS_MAX).contains(&size), "1 to {DESCRIPTORS_MAX} fit into a message");
    let (mut channel, mut partner) = Task::TakeHandles.start(count)?;
    let spent =
        || -> Result<Duration> { Ok(cpu::spent(process::id())? + cpu::spent(partner.id())?) };
    let before = spent()?;
    let started = Instant::now();
    partner::give_handles(&mut channel, count, size)?;
    channel.read_exact(&mut [0])?;
    let took = started.elapsed();
    let cost = spent()? - before;
    println!("rate: {:.2}", count as f64 / took.as_secs_f64());
    println!("cpu: {:.4}", cost.as_secs_f64() * 1e6 / count as f64);
    drop(channel);
    partner.wait()?;
    Ok(())
}
