//! How a primary comes to know what was taken: no worker tells it.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cluster_core::limits::WAITING_DEFAULT;
use cluster_sys::limits::{FIRST_LOOK, LAST_LOOK};
use cluster_sys::{Config, Progress, Schedule};

use crate::driver::{Driver, connect};
use crate::roles::program;
use crate::support::{alone, descriptors, is_readable, wait_readable};

/// Where nothing else happens, it looks, and after each look that found nothing it waits for
/// twice the time.
#[test]
fn what_a_slow_worker_has_taken_is_seen_by_looking() {
    let mut driver = Driver::new(program());
    let (parts, address) = driver.fork_listening("serve");
    driver.stop(&parts);
    let mut now = Instant::now();
    driver.clock = Some(now);
    let mut client = connect(address);
    driver.turn(Duration::ZERO);
    let mut patience = FIRST_LOOK;
    let mut patiences = Vec::new();
    while patiences.last() != Some(&LAST_LOOK) || patience == LAST_LOOK {
        assert_eq!(driver.host.poll_timeout(), Some(now + patience));
        patiences.push(patience);
        now += patience;
        driver.host.handle_timeout(now);
        patience = if patiences.ends_with(&[LAST_LOOK; 2]) {
            break;
        } else {
            (patience * 2).min(LAST_LOOK)
        };
    }
    assert_eq!(patiences.len(), 8, "{patiences:?}");

    // From here on, the primary hears nothing.
    driver.go_on(&parts);
    assert_eq!(served(&mut client), "1");
    assert!(!is_readable(driver.host.poll_fd()));
    assert_eq!(driver.host.poll_timeout(), Some(now + LAST_LOOK));
    now += LAST_LOOK;
    driver.host.handle_timeout(now);
    assert_eq!(driver.host.poll_timeout(), None);
    driver.clock = None;
    driver.leave(&[1]);
}

/// One that lies there for long does not make the primary look later at others.
#[test]
fn a_new_connection_is_looked_at_soon() {
    let mut driver = Driver::new(program());
    let (parts, address) = driver.fork_listening("serve");
    driver.stop(&parts);
    let mut now = Instant::now();
    driver.clock = Some(now);
    let mut first = connect(address);
    driver.turn(Duration::ZERO);
    for _ in 0..10 {
        now = driver.host.poll_timeout().unwrap();
        driver.host.handle_timeout(now);
    }
    driver.clock = Some(now);
    assert_eq!(driver.host.poll_timeout(), Some(now + LAST_LOOK));
    let mut second = connect(address);
    driver.turn(Duration::ZERO);
    assert_eq!(driver.host.poll_timeout(), Some(now + FIRST_LOOK));
    driver.clock = None;
    driver.go_on(&parts);
    assert_eq!([driver.served(&mut first), driver.served(&mut second)], [Some(1); 2]);
    driver.until(|it| it.host.poll_timeout().is_none().then_some(()));
    driver.leave(&[1]);
}

/// While connections wait, the kernel tells of each one that is taken: no deadline has to come.
/// When none waits any more, nobody is woken.
#[test]
fn a_crowded_primary_is_told_at_once_when_something_is_taken() {
    alone("looking::a_crowded_primary_is_told_at_once_when_something_is_taken", || {
        let config = Config::new(Schedule::RoundRobin, WAITING_DEFAULT, 1).unwrap();
        let mut driver = Driver::with(config, program());
        let (parts, address) = driver.fork_listening("serve");
        driver.stop(&parts);
        driver.clock = Some(Instant::now());
        let mut clients = [(); 20].map(|()| connect(address));
        let before = descriptors().len();
        driver.turn(Duration::ZERO);
        let waiting = || descriptors().len() - before;
        assert_eq!(waiting(), clients.len() - 1);
        driver.go_on(&parts);
        for client in &mut clients {
            let waited = waiting();
            assert_eq!(served(client), "1");
            while waited > 0 && waiting() == waited {
                wait_readable(driver.host.poll_fd());
                while driver.host.handle_ready(driver.now()) == Progress::More {}
            }
        }
        assert_eq!(driver.timeouts, 0);
        assert!(!is_readable(driver.host.poll_fd()));
        driver.clock = None;
        driver.until(|it| it.host.poll_timeout().is_none().then_some(()));
        driver.leave(&[1]);
    });
}

/// Who serves a client, read without driving the primary.
fn served(client: &mut TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text.trim().to_owned()
}
