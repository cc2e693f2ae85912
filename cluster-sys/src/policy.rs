//! The schedule that the environment asks for.

use std::env;

use cluster_core::{Schedule, UnknownSchedule};

/// The schedule that `CLUSTER_SCHED_POLICY` names or, without it, `NODE_CLUSTER_SCHED_POLICY`
/// (as in Node): `rr` or `none`.
///
/// # Errors
///
/// If it names another one. (Node ignores that.)
pub fn schedule_from_environment() -> Result<Option<Schedule>, UnknownSchedule> {
    let named = VARIABLES.iter().find_map(env::var_os);
    named.map(|name| name.to_string_lossy().parse()).transpose()
}

const VARIABLES: [&str; 2] = ["CLUSTER_SCHED_POLICY", "NODE_CLUSTER_SCHED_POLICY"];
