//! Processor time of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The time that the process `pid` has spent on processors, all its threads together, also those
/// that have ended, to the nanosecond.
pub(super) fn spent(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?))
        .with_context(|| format!("the processor clock of process {pid}"))?;
    Ok(clock_gettime(clock)?.into())
}

/// The process `pid`, its children, and theirs in turn.
pub(super) fn family(pid: u32) -> Result<Vec<u32>> {
    let parents = parents()?;
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|it| it.1 == parent).map(|it| it.0));
        next += 1;
    }
    Ok(family)
}

/// Each process of the machine and its parent.
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        // A process may have ended since the folder was read.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        parents.extend(parent(&stat).map(|parent| (pid, parent)));
    }
    Ok(parents)
}

/// The parent in a line of `/proc/PID/stat`: the second field behind the name, which may hold
/// anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn the_parent_stands_behind_the_name() {
        assert_eq!(parent("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a"), None);
        assert_eq!(parent(""), None);
    }

    #[test]
    fn a_process_belongs_to_its_own_family_and_spends_time() {
        let own = process::id();
        assert_eq!(family(own).expect("there is a /proc").first(), Some(&own));
        let before = spent(own).expect("a process has a clock");
        let mut sum = 0_u64;
        while spent(own).expect("a process has a clock") < before + Duration::from_millis(1) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
