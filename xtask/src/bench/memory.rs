//! Memory that a process has for itself.

use std::fs;

use anyhow::{Context as _, Result};

/// Bytes of the process `pid` that no other process shares.
pub(super) fn private(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(private_in(&text))
}

fn private_in(rollup: &str) -> u64 {
    let kilobytes = rollup.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let counts = ["Private_Clean", "Private_Dirty"].contains(&name);
        rest.trim().strip_suffix(" kB").filter(|_| counts)?.parse::<u64>().ok()
    });
    kilobytes.sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_counts_whether_it_is_clean_or_dirty() {
        let rollup = "55d0-7ffc ---p 00000000 00:00 0  [rollup]\nRss:     1234 kB\n\
                      Shared_Clean:   900 kB\nPrivate_Clean:    4 kB\nPrivate_Dirty:   16 kB\n\
                      Private_Hugetlb:    8 kB\n";
        assert_eq!(private_in(rollup), 20 * 1024);
        assert_eq!(private_in(""), 0);
    }
}
