//! What the environment and the system say about a cluster's configuration.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;

use cluster_core::limits::BUDGET_DEFAULT;
use cluster_core::{Schedule, UnknownSchedule};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t};

/// The schedule that `CLUSTER_SCHED_POLICY` names or, without it, `NODE_CLUSTER_SCHED_POLICY`
/// (as in Node): `rr`, `none` or another name of a schedule.
///
/// # Errors
///
/// If it names another one. (Node ignores that.)
pub fn schedule_from_environment() -> Result<Option<Schedule>, UnknownSchedule> {
    let named = VARIABLES.iter().find_map(env::var_os);
    named.map(|name| name.to_string_lossy().parse()).transpose()
}

/// How many connections a primary answers for if nothing else is said, waiting and in passages
/// together: a quarter of the descriptors that it may have open (getrlimit(2), `RLIMIT_NOFILE`), at
/// most [`BUDGET_DEFAULT`]. As many as it may have open may be on their way between processes of a
/// user who is not root (unix(7), `ETOOMANYREFS`); and each cluster of a process has a budget of
/// its own.
pub fn default_budget() -> usize {
    budget_of(getrlimit(Resource::RLIMIT_NOFILE).map_or(RLIM_INFINITY, |(soft, _)| soft))
}

fn budget_of(open: rlim_t) -> usize {
    usize::try_from(open / 4).unwrap_or(usize::MAX).clamp(1, BUDGET_DEFAULT)
}

/// A number that nobody can foretell, for decisions by chance.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

const VARIABLES: [&str; 2] = ["CLUSTER_SCHED_POLICY", "NODE_CLUSTER_SCHED_POLICY"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux has no such limit for descriptors (setrlimit(2): `nr_open`).
    #[test]
    fn a_budget_is_limited_where_nothing_else_is() {
        assert_eq!(budget_of(RLIM_INFINITY), BUDGET_DEFAULT);
    }
}
