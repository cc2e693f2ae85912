//! The total is right, whoever crashes.

use crate::example::Ended;
use crate::harness::{others, start};
use crate::runtime::Runtime;
use crate::transcript::{End, ends};

pub(crate) fn the_total_is_right(runtime: Runtime) {
    assert_eq!(crashes_until_the_total(runtime, &["200000"]), 0);
}

pub(crate) fn the_total_is_right_although_workers_crash(runtime: Runtime) {
    // The jobs 0, 7, … 98, each of them once.
    assert_eq!(crashes_until_the_total(runtime, &["200000", "7"]), 15);
}

pub(crate) fn a_job_that_crashes_whoever_does_it_is_given_up(runtime: Runtime) {
    let Ended { status, lines, errors } = start(runtime, "pool", &["200000", "0", "40"]).ended();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    assert!(errors.contains("job 40 is given up"), "{errors}");
}

/// Counts the workers that crash before there are 17,984 primes below 200,000.
fn crashes_until_the_total(runtime: Runtime, arguments: &[&str]) -> usize {
    let Ended { status, lines, errors } = start(runtime, "pool", arguments).ended();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{lines:#?}");
    assert!(others(&lines).any(|line| line == "total 17984"), "{lines:#?}");
    let ends = ends(&lines);
    let crashed = End::Code { code: 70, asked: false };
    let crashes = ends.values().filter(|end| **end == crashed).count();
    let graceful = ends.values().filter(|end| **end == End::GRACEFUL).count();
    assert_eq!(crashes + graceful, ends.len(), "{ends:?}");
    crashes
}
