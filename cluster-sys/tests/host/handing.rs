//! Connections on their way: whoever fails, another worker serves them.

use std::time::{Duration, Instant};

use cluster_core::limits::{WAITING_DEFAULT, WINDOW_DEFAULT, WINDOW_START};
use cluster_sys::primary::Command;
use cluster_sys::worker::{Command as WorkersCommand, Notice};
use cluster_sys::{Config, Schedule};

use crate::driver::{Driver, connect};
use crate::roles::program;
use crate::site::{News, Site};
use crate::support::{alone, assert_no_children, descriptors, descriptors_of};

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
    site.taking_until(|site, news| {
        match news {
            News::Arrived(connection) => {
                hoard.push(connection);
                site.send("taken");
            }
            News::Notice(Notice::Disconnect) => return Some(()),
            News::Notice(_) => {}
        }
        None
    });
}

/// With some connections taken, some in the passage, and some that wait behind it.
#[test]
fn what_is_left_in_a_passage_is_served_by_another_and_once() {
    alone("handing::what_is_left_in_a_passage_is_served_by_another_and_once", || {
        let before = descriptors();
        for end in ["kill", "close", "leave", "close the channel"] {
            let config = Config::new(Schedule::RoundRobin, WAITING_DEFAULT, WINDOW_DEFAULT);
            let mut driver = Driver::with(config.unwrap(), program());
            // It stands: all that is taken is taken promptly.
            driver.clock = Some(Instant::now());
            let (one, address) = driver.fork_listening("on demand");
            let mut clients = [(); TAKEN + LEFT + WAITING].map(|()| connect(address));
            for _ in 0..TAKEN {
                driver.send(&one, "take");
                assert_eq!(driver.message::<String>(), "taken");
            }
            driver.turn(Duration::ZERO);
            driver.fork_listening("serve");
            let (taken, rest) = clients.split_at_mut(TAKEN);
            let (left, waiting) = rest.split_at_mut(LEFT);
            for client in waiting {
                assert_eq!(driver.served(client), Some(2), "{end}");
            }
            assert!(!left.iter().any(Driver::is_answered), "{end}");
            match end {
                "kill" => driver.kill(&one),
                order => driver.send(&one, order),
            }
            for client in left {
                assert_eq!(driver.served(client), Some(2), "{end}");
            }
            if end == "close" {
                driver.send(&one, "serve");
            }
            // A worker that closes its channel has come to its end.
            let server = ["close", "leave"].contains(&end).then_some(1);
            for client in taken {
                assert_eq!(driver.served(client), server, "{end}");
            }
            let lines: &[&str] = match end {
                "leave" => &["draining 1", "disconnect 1", LEFT_GRACEFULLY],
                "close the channel" => &["disconnect 1", ENDED],
                _ => &[],
            };
            lines.iter().for_each(|line| drop(driver.expect(line)));
            driver.leave(if end == "close" { &[1, 2] } else { &[2] });
            drop((driver, clients));
            assert_eq!(descriptors(), before, "{end}");
            assert_no_children();
        }
    });
}

/// Takes one connection at a time, when it is told, and serves none before it is told or leaves.
pub(crate) fn on_demand() {
    let mut site = Site::new();
    let listener = site.listen();
    let mut taken = Vec::new();
    site.until(|site, notice| {
        match notice {
            Notice::Message(message, _) => match message.decode::<String>().unwrap().as_str() {
                "take" => {
                    taken.push(site.await_arrival());
                    site.send("taken");
                }
                "serve" => taken.drain(..).for_each(|it| site.serve(it)),
                "close" => site.close(listener),
                "leave" => site.order(WorkersCommand::Disconnect),
                "close the channel" => site.order(WorkersCommand::CloseChannel),
                order => panic!("no such order: {order}"),
            },
            Notice::Draining => taken.drain(..).for_each(|it| site.serve(it)),
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        None
    });
}

#[test]
fn a_worker_that_takes_nothing_holds_no_more_than_its_window() {
    alone("handing::a_worker_that_takes_nothing_holds_no_more_than_its_window", || {
        let mut driver = Driver::new(program());
        let (slow, address) = driver.fork_listening("serve");
        driver.stop(&slow);
        let mut clients = [(); 20].map(|()| connect(address));
        let before = descriptors().len();
        driver.turn(Duration::ZERO);
        // What is in the passage is not here any more.
        assert_eq!(descriptors().len(), before + clients.len() - WINDOW_START);
        driver.fork_listening("serve");
        let (held, others) = clients.split_at_mut(WINDOW_START);
        for client in others {
            assert_eq!(driver.served(client), Some(2));
        }
        assert!(!held.iter().any(Driver::is_answered));
        driver.go_on(&slow);
        for client in held {
            assert_eq!(driver.served(client), Some(1));
        }
        driver.leave(&[1, 2]);
        assert_no_children();
    });
}

/// A passage costs the primary two descriptors and the worker one, as long as it is there.
#[test]
fn a_listener_that_is_closed_leaves_nothing_on_either_side() {
    alone("handing::a_listener_that_is_closed_leaves_nothing_on_either_side", || {
        let mut driver = Driver::new(program());
        let parts = driver.fork("listen when told");
        let pid = parts.facts.pid().unwrap().0;
        let close = |driver: &mut Driver| {
            driver.send(&parts, "close");
            assert_eq!(driver.message::<String>(), "closed");
        };
        // By then, it has all that it needs for itself.
        close(&mut driver);
        let before = [descriptors(), descriptors_of(pid)];
        for _ in 0..2 {
            driver.send(&parts, "listen");
            assert_eq!(driver.message::<String>(), "connections");
            let line = driver.expect("listening 1 127.0.0.1:*");
            let counts = [descriptors(), descriptors_of(pid)].map(|it| it.len());
            assert_eq!(counts, [before[0].len() + 3, before[1].len() + 1]);
            let mut client = connect(line.rsplit(' ').next().unwrap().parse().unwrap());
            driver.turn(Duration::ZERO);
            assert!(!Driver::is_answered(&client));
            close(&mut driver);
            assert_eq!(driver.served(&mut client), None);
            drop(client);
            assert_eq!([descriptors(), descriptors_of(pid)], before);
        }
        driver.leave(&[1]);
    });
}

#[test]
fn what_is_given_back_untouched_is_served_by_another() {
    let mut driver = Driver::new(program());
    let (_, address) = driver.fork_listening("refuse");
    driver.fork_listening("serve");
    let mut clients: Vec<_> = (0..50).map(|_| connect(address)).collect();
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(2));
    }
    driver.leave(&[1, 2]);
}

/// Takes everything and looks at nothing.
pub(crate) fn give_everything_back() {
    let mut site = Site::new();
    site.listen();
    site.taking_until(|_, news| {
        match news {
            News::Arrived((socket, _, claim)) => claim.give_back(socket),
            News::Notice(Notice::Disconnect) => return Some(()),
            News::Notice(_) => {}
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
    driver.expect(LEFT_GRACEFULLY);
    driver.leave(&[2]);
}

/// Accepts everything and begins nothing; when it is to leave, it gives all of it back.
pub(crate) fn give_back_when_leaving() {
    let mut site = Site::new();
    site.listen();
    let mut accepted = Vec::new();
    site.taking_until(|site, news| {
        match news {
            News::Arrived(connection) => {
                accepted.push(connection);
                site.send("taken");
            }
            News::Notice(Notice::Draining) => {
                for (socket, _, claim) in accepted.drain(..) {
                    assert!(claim.wants_back());
                    claim.give_back(socket);
                }
            }
            News::Notice(Notice::Disconnect) => return Some(()),
            News::Notice(_) => {}
        }
        None
    });
}

/// A program that ends with its server, whatever lies there: what was not taken, and what was
/// taken and given back just now.
#[test]
fn what_lies_in_a_host_that_is_dropped_is_served_by_another() {
    alone("handing::what_lies_in_a_host_that_is_dropped_is_served_by_another", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (ending, address) = driver.fork_listening("end early");
        // Some of them wait in the primary.
        let mut clients: Vec<_> = (0..4 * WINDOW_START).map(|_| connect(address)).collect();
        driver.turn(Duration::ZERO);
        driver.fork_listening("serve");
        driver.send(&ending, "end");
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(2));
        }
        driver.expect("disconnect 1");
        driver.expect(ENDED);
        driver.leave(&[2]);
        drop((driver, clients));
        assert_eq!(descriptors(), before);
    });
}

pub(crate) fn end_early() {
    let mut site = Site::new();
    site.listen();
    site.until(|_, notice| matches!(notice, Notice::Message(..)).then_some(()));
    let (socket, _, claim) = site.await_arrival();
    claim.give_back(socket);
    drop(site);
}

/// How many are taken before the end.
const TAKEN: usize = 3;

/// How many may be in the passage by then: the window has grown with each one.
const LEFT: usize = WINDOW_START + TAKEN;

const WAITING: usize = 2;

const LEFT_GRACEFULLY: &str = "exit 1 code=0 signal=- exited_after_disconnect=true";
const ENDED: &str = "exit 1 code=0 signal=- exited_after_disconnect=false";
