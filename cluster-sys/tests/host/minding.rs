//! Workers that do not take what they were handed, though others could have it.

use std::time::Duration;

use cluster_core::limits::{STALLED_CHECK, STALLED_CHECKS};

use crate::driver::{Driver, connect};
use crate::roles::program;
use crate::support::{
    alone, assert_no_children, descriptors, limit_descriptors, limit_with_room_for,
};

/// One that has stopped has only to go on to get connections again.
#[test]
fn what_a_stopped_worker_was_handed_is_served_by_another() {
    alone("minding::what_a_stopped_worker_was_handed_is_served_by_another", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (stopped, address) = driver.fork_listening("serve");
        driver.fork_listening("serve");
        driver.stop(&stopped);
        for _ in 0..2 {
            for mut client in [(); 4].map(|()| connect(address)) {
                assert_eq!(driver.served(&mut client), Some(2));
            }
        }
        driver.go_on(&stopped);
        while driver.served(&mut connect(address)) != Some(1) {}
        driver.leave(&[1, 2]);
        drop(driver);
        assert_eq!(descriptors(), before);
        assert_no_children();
    });
}

/// What lies with one that is alone goes to another as soon as there is one.
#[test]
fn what_a_stopped_worker_was_handed_waits_for_another() {
    let mut driver = Driver::new(program());
    let (stopped, address) = driver.fork_listening("serve");
    driver.stop(&stopped);
    let clients = [(); 3].map(|()| connect(address));
    driver.fork_listening("serve");
    for mut client in clients {
        assert_eq!(driver.served(&mut client), Some(2));
    }
    driver.kill(&stopped);
    driver.leave(&[2]);
}

/// What a primary has no room for stays where it is, until there is some.
#[test]
fn what_a_stopped_worker_was_handed_waits_for_descriptors() {
    alone("minding::what_a_stopped_worker_was_handed_waits_for_descriptors", || {
        let mut driver = Driver::new(program());
        let (stopped, address) = driver.fork_listening("serve");
        driver.fork_listening("serve");
        driver.stop(&stopped);
        let mut clients = [connect(address), connect(address)];
        assert_eq!(driver.served(&mut clients[1]), Some(2));
        limit_descriptors(limit_with_room_for(0));
        let rescued = driver.now() + STALLED_CHECK * (STALLED_CHECKS + 2);
        while driver.now() < rescued {
            driver.turn(Duration::from_millis(10));
        }
        limit_descriptors(1024);
        assert_eq!(driver.served(&mut clients[0]), Some(2));
        driver.kill(&stopped);
        driver.leave(&[2]);
    });
}
