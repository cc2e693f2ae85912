//! Connections on their way: whoever fails, another worker serves them.

use std::time::{Duration, Instant};

use cluster_core::limits::WINDOW_START;
use cluster_sys::primary::Command;
use cluster_sys::worker::Notice;
use cluster_sys::{NoRoom, Wishes};

use crate::driver::{Driver, Reports, connect};
use crate::roles::program;
use crate::site::{Reporter, Site};
use crate::support::{alone, descriptors};

#[test]
fn what_was_in_flight_to_a_worker_that_dies_is_served_by_another() {
    let mut driver = Driver::new(program());
    let (doomed, address) = driver.fork_listening("serve");
    driver.stop(&doomed);
    let mut clients: Vec<_> = (0..5).map(|_| connect(address)).collect();
    driver.turn(Duration::ZERO);
    assert!(clients.iter().all(|client| !Driver::is_answered(client)));
    driver.fork_listening("serve");
    driver.kill(&doomed);
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(2));
    }
    driver.leave(&[2]);
}

#[test]
fn what_was_in_flight_to_the_last_worker_comes_to_its_end() {
    alone("handing::what_was_in_flight_to_the_last_worker_comes_to_its_end", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (doomed, address) = driver.fork_listening("serve");
        driver.stop(&doomed);
        // More than may be in flight, so that some wait in the primary.
        let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
        driver.turn(Duration::ZERO);
        driver.kill(&doomed);
        for client in &mut clients {
            assert_eq!(driver.served(client), None);
        }
        driver.assert_nothing_else();
        drop((driver, clients));
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn what_was_taken_by_a_worker_that_dies_is_its_own() {
    let mut driver = Driver::new(program());
    let (doomed, address) = driver.fork_listening("hoard");
    let mut client = connect(address);
    assert_eq!(driver.message::<String>(), "taken");
    driver.fork_listening("serve");
    driver.kill(&doomed);
    assert_eq!(driver.served(&mut client), None);
    driver.leave(&[2]);
}

/// Accepts everything, says so and touches nothing.
pub(crate) fn hoard() {
    let mut site = Site::new();
    site.listen();
    let mut hoard = Vec::new();
    site.until(|site, notice| {
        match notice {
            Notice::Available(listener) => assert!(site.take(listener)),
            Notice::Connection(_, connection) => {
                hoard.push(connection.accept());
                site.send("taken");
            }
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        None
    });
}

/// As long as the primary cannot know that a connection is taken, it might hand it to another
/// worker: nobody may read from it before.
#[test]
fn nothing_is_handed_out_before_the_primary_is_told() {
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    let (_, address) = driver.fork_listening("full");
    let mut report = reports.accept();
    let mut client = connect(address);
    driver.until(|it| (!it.messages.is_empty()).then_some(()));
    // From here on the primary does not read.
    assert_eq!(report.next(), "the channel is full");
    assert_eq!(report.next(), "it is taken and not here");
    assert!(!Driver::is_answered(&client));
    // Here it does.
    assert_eq!(driver.served(&mut client), Some(1));
    assert_eq!(report.next(), "it is here");
    driver.messages.clear();
    driver.leave(&[1]);
}

pub(crate) fn full() {
    let mut reporter = Reporter::new();
    let mut site = Site::new();
    site.listen();
    let listener = site.until(|_, notice| match notice {
        Notice::Available(listener) => Some(listener),
        _ => None,
    });
    // Whoever reads this knows that a connection lies here.
    site.send("");
    // Small ones, so that the channel is full long before the window.
    while site.try_send(&vec![7_u8; 1000], None) != Err(NoRoom::Full) {}
    reporter.say("the channel is full");
    assert!(site.take(listener));
    assert!(site.host.poll_event().is_none());
    reporter.say("it is taken and not here");
    let connection = site.until(|_, notice| match notice {
        Notice::Connection(_, connection) => Some(connection),
        _ => None,
    });
    reporter.say("it is here");
    site.serve(connection);
    site.serve_on();
}

/// As many are taken at a time as there are wishes, and what nobody wished for stays.
#[test]
fn connections_are_taken_as_they_are_wished_for() {
    let mut driver = Driver::new(program());
    let (_, address) = driver.fork_listening("wish");
    let mut clients = [connect(address), connect(address)];
    assert_eq!(driver.message::<String>(), "both are here, and untouched");
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(1));
    }
    let mut client = connect(address);
    assert_eq!(driver.served(&mut client), Some(1));
    driver.leave(&[1]);
}

pub(crate) fn wish() {
    let mut site = Site::new();
    site.listen();
    let wishes = Wishes::default();
    let mut available = 0;
    let listener = site.until(|_, notice| {
        let Notice::Available(listener) = notice else { return None };
        available += 1;
        (available == 2).then_some(listener)
    });
    let serve = |site: &mut Site| site.host.serve(Instant::now(), listener, &wishes);
    assert_eq!(serve(&mut site), 0, "nobody wishes for anything");
    site.send("both are here, and untouched");
    let both = [wishes.wish(), wishes.wish()];
    assert!(wishes.is_timely());
    assert_eq!(serve(&mut site), 2);
    for wish in both {
        let connection = site.until(|_, notice| match notice {
            Notice::Connection(_, connection) => Some(connection),
            _ => None,
        });
        wish.fulfilled();
        site.serve(connection);
    }
    // The next is wished for before it comes.
    let wish = wishes.wish();
    assert!(!wishes.is_timely());
    let connection = site.until(|site, notice| match notice {
        Notice::Available(_) => {
            assert_eq!(serve(site), 1);
            None
        }
        Notice::Connection(_, connection) => Some(connection),
        _ => None,
    });
    wish.fulfilled();
    site.serve(connection);
    site.serve_on();
}

#[test]
fn what_is_dropped_unseen_is_served_by_another() {
    let mut driver = Driver::new(program());
    let (_, address) = driver.fork_listening("drop");
    driver.fork_listening("serve");
    let mut clients: Vec<_> = (0..50).map(|_| connect(address)).collect();
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(2));
    }
    driver.leave(&[1, 2]);
}

/// Takes everything and looks at nothing.
pub(crate) fn drop_all() {
    let mut site = Site::new();
    site.listen();
    site.until(|site, notice| {
        match notice {
            Notice::Available(listener) => assert!(site.take(listener)),
            Notice::Connection(_, connection) => drop(connection),
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        None
    });
}

#[test]
fn what_a_leaving_worker_has_not_begun_is_served_by_another() {
    let mut driver = Driver::new(program());
    let (leaving, address) = driver.fork_listening("give back");
    let mut clients: Vec<_> = (0..5).map(|_| connect(address)).collect();
    for _ in &clients {
        assert_eq!(driver.message::<String>(), "taken");
    }
    driver.fork_listening("serve");
    driver.order(Command::Disconnect { worker: leaving.facts.id(), kill_after: None });
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(2));
    }
    driver.expect("draining 1");
    driver.expect("disconnect 1");
    driver.expect("exit 1 code=0 signal=- exited_after_disconnect=true");
    driver.leave(&[2]);
}

/// Accepts everything and begins nothing; when it is to leave, it gives all of it back.
pub(crate) fn give_back_when_leaving() {
    let mut site = Site::new();
    site.listen();
    let mut accepted = Vec::new();
    site.until(|site, notice| {
        match notice {
            Notice::Available(listener) => assert!(site.take(listener)),
            Notice::Connection(_, connection) => {
                accepted.push(connection.accept());
                site.send("taken");
            }
            Notice::Draining => {
                for (socket, _, claim) in accepted.drain(..) {
                    assert!(claim.wants_back());
                    claim.give_back(socket);
                }
            }
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        None
    });
}

/// A program that ends with its server, whatever lies there: what was not taken or has come just
/// now, what was taken and waits in the host, and what was handed out and not looked at.
#[test]
fn what_lies_in_a_host_that_is_dropped_is_served_by_another() {
    alone("handing::what_lies_in_a_host_that_is_dropped_is_served_by_another", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (ending, address) = driver.fork_listening("end early");
        // Some of them wait in the primary.
        let mut clients: Vec<_> = (0..4 * LYING).map(|_| connect(address)).collect();
        assert_eq!(driver.message::<String>(), "all are here");
        driver.fork_listening("serve");
        driver.send(&ending, "end");
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(2));
        }
        driver.expect("disconnect 1");
        driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
        driver.leave(&[2]);
        drop((driver, clients));
        assert_eq!(descriptors(), before);
    });
}

pub(crate) fn end_early() {
    let mut site = Site::new();
    let listener = site.listen();
    let mut lying = 0;
    site.until(|_, notice| {
        lying += usize::from(matches!(notice, Notice::Available(_)));
        (lying == LYING).then_some(())
    });
    site.send("all are here");
    site.until(|_, notice| matches!(notice, Notice::Message(..)).then_some(()));
    // One is handed out, and some are on their way out of the host.
    assert!(site.take(listener));
    let Some(Notice::Connection(_, connection)) = site.host.poll_event() else {
        panic!("the channel has room, so it is handed out at once");
    };
    for _ in 0..LYING / 2 {
        assert!(site.take(listener));
    }
    drop(connection);
    drop(site);
}

/// As many as a worker that has taken nothing yet is handed.
const LYING: usize = WINDOW_START;
