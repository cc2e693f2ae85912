//! A primary to which connections come fast waits its turn, and nobody else has to.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cluster_sys::Pid;
use cluster_sys::limits::{PATIENT_BELOW, PATIENT_FROM};
use nix::libc::{SCHED_BATCH, SCHED_OTHER};

use crate::driver::{Driver, connect};
use crate::roles::program;
use crate::support::alone;

#[test]
fn a_primary_is_patient_while_connections_come_fast() {
    alone("patience::a_primary_is_patient_while_connections_come_fast", || {
        let mut driver = standing();
        let (_, address) = driver.fork_listening("serve");
        for (rate, policy) in [
            (PATIENT_FROM - ONE, SCHED_OTHER),
            (PATIENT_FROM, SCHED_BATCH),
            (PATIENT_BELOW, SCHED_BATCH),
            (PATIENT_BELOW - ONE, SCHED_OTHER),
        ] {
            accept_at(&mut driver, address, rate);
            assert_eq!(policy_of(None), policy, "at {rate} a second");
        }
        driver.leave(&[1]);
    });
}

#[test]
fn workers_of_a_patient_primary_are_as_eager_as_others() {
    alone("patience::workers_of_a_patient_primary_are_as_eager_as_others", || {
        let mut driver = standing();
        let (_, address) = driver.fork_listening("serve");
        accept_at(&mut driver, address, PATIENT_FROM);
        assert_eq!(policy_of(None), SCHED_BATCH);
        let worker = driver.fork("idle");
        assert_eq!(policy_of(worker.facts.pid()), SCHED_OTHER);
        driver.leave(&[1, 2]);
    });
}

#[test]
fn a_primary_that_is_to_be_eager_is_so_from_then_on() {
    alone("patience::a_primary_that_is_to_be_eager_is_so_from_then_on", || {
        let mut driver = standing();
        let (_, address) = driver.fork_listening("serve");
        accept_at(&mut driver, address, PATIENT_FROM);
        assert_eq!(policy_of(None), SCHED_BATCH);
        driver.host.set_eager();
        assert_eq!(policy_of(None), SCHED_OTHER);
        accept_at(&mut driver, address, PATIENT_FROM);
        assert_eq!(policy_of(None), SCHED_OTHER);
        driver.leave(&[1]);
    });
}

/// Whoever has driven it goes on with other things.
#[test]
fn patience_ends_with_the_primary() {
    alone("patience::patience_ends_with_the_primary", || {
        let mut driver = standing();
        let (_, address) = driver.fork_listening("serve");
        accept_at(&mut driver, address, PATIENT_FROM);
        driver.leave(&[1]);
        assert_eq!(policy_of(None), SCHED_BATCH);
        drop(driver);
        assert_eq!(policy_of(None), SCHED_OTHER);
    });
}

/// A driver for which no time passes by itself.
fn standing() -> Driver {
    let mut driver = Driver::new(program());
    driver.clock = Some(Instant::now());
    driver
}

/// Lets a period pass in which connections come at this rate, each in a turn of its own.
#[track_caller]
fn accept_at(driver: &mut Driver, address: SocketAddr, rate: u64) {
    for _ in 0..rate / ONE {
        assert_eq!(driver.served(&mut connect(address)), Some(1));
    }
    driver.clock = Some(driver.now() + PERIOD);
    driver.turn(Duration::ZERO);
}

/// The scheduling policy of a process, or of this thread (proc(5): the 41st field).
fn policy_of(pid: Option<Pid>) -> i32 {
    let whose = pid.map_or("thread-self".to_owned(), |pid| pid.0.to_string());
    let stat = fs::read_to_string(format!("/proc/{whose}/stat")).unwrap();
    // A name may contain anything; the third field is the one behind it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(41 - 3).unwrap().parse().unwrap()
}

/// As long as what a primary measures at a time.
const PERIOD: Duration = Duration::from_millis(50);

/// One in a period is so many a second.
const ONE: u64 = 1000 / PERIOD.as_millis() as u64;
