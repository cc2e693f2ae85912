//! What quantities are called, where a goal names them, too.

pub(in crate::bench) const ONLINE: &str = "fork to online";
pub(in crate::bench) const LISTENING: &str = "fork to listening";
pub(in crate::bench) const GROWTH: &str = "primary's CPU/connection, 64 workers/2";

pub(in crate::bench) fn cost(workers: usize, schedule: &str) -> String {
    format!("CPU/connection, {workers} workers {schedule}")
}

pub(in crate::bench) fn ratio(workers: usize, schedule: &str) -> String {
    format!("clustered/un-clustered, {workers} workers {schedule}")
}

pub(in crate::bench) fn evenness(workers: usize, schedule: &str) -> String {
    format!("busiest/idlest, {workers} workers {schedule}")
}

pub(in crate::bench) fn storm(what: &str, schedule: &str) -> String {
    format!("kill storm {schedule}: {what}")
}

pub(in crate::bench) fn rolling(what: &str, schedule: &str) -> String {
    format!("rolling {schedule}: {what}")
}

pub(in crate::bench) fn memory(workers: usize) -> String {
    format!("private memory a worker, {workers} workers")
}
