//! Too few descriptors, and too much to do in one turn: nothing is lost.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use cluster_core::limits::{ACCEPT_RETRY, WAITING_DEFAULT, WINDOW_DEFAULT, WINDOW_START};
use cluster_core::{ListenerId, ToPrimary};
use cluster_ipc::Frame;
use cluster_sys::channel::Channel;
use cluster_sys::limits::{ACCEPTS_PER_TURN, READS_PER_TURN, SEND_RETRY};
use cluster_sys::primary::Command;
use cluster_sys::worker::{Command as WorkersCommand, Notice, Share};
use cluster_sys::{Config, Progress, Schedule};
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{Uid, setuid};

use crate::driver::{Driver, connect, worded};
use crate::raw::Raw;
use crate::refuse::refuse_to_watch;
use crate::roles::program;
use crate::site::Site;
use crate::support::{
    alone, assert_no_children, descriptors, limit_descriptors, limit_with_room_for,
};

#[test]
fn without_descriptors_accepting_rests_and_nothing_is_lost() {
    alone("shortage::without_descriptors_accepting_rests_and_nothing_is_lost", || {
        let mut driver = Driver::new(program());
        let (_, address) = driver.fork_listening("serve");
        let mut clients = [(); 3].map(|()| connect(address));
        limit_descriptors(limit_with_room_for(0));
        let cause = worded(Errno::EMFILE);
        driver.expect(&format!("error - cannot accept on {address}: {cause}"));

        let (turns, timeouts) = (driver.turns, driver.timeouts);
        let (began, used) = (Instant::now(), processor_time());
        driver.until(|it| (it.timeouts >= timeouts + RESTS).then_some(()));
        let (lasted, used) = (began.elapsed(), processor_time() - used);
        assert!(lasted > ACCEPT_RETRY * (RESTS - 1), "{lasted:?} for {RESTS} rests");
        assert!(driver.turns - turns <= 4 * RESTS, "{} turns", driver.turns - turns);
        assert!(used < lasted / 4, "{used:?} of {lasted:?}");
        driver.assert_nothing_else();
        assert!(!clients.iter().any(Driver::is_answered));

        limit_descriptors(1024);
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(1));
        }
        driver.leave(&[1]);
    });
}

/// With room for one, and with a clock that stands: no rest ends by itself.
#[test]
fn a_descriptor_that_is_freed_ends_the_rest() {
    alone("shortage::a_descriptor_that_is_freed_ends_the_rest", || {
        let mut driver = Driver::new(program());
        let (_, address) = driver.fork_listening("serve");
        let mut clients = [(); 10].map(|()| connect(address));
        driver.clock = Some(Instant::now());
        limit_descriptors(limit_with_room_for(1));
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(1));
        }
        assert_eq!(driver.timeouts, 0);
        let cause = worded(Errno::EMFILE);
        driver.expect(&format!("error - cannot accept on {address}: {cause}"));
    });
}

#[test]
fn more_connections_than_a_turn_accepts_are_accepted_in_the_next() {
    alone("shortage::more_connections_than_a_turn_accepts_are_accepted_in_the_next", || {
        let mut driver = Driver::new(program());
        let (parts, address) = driver.fork_listening("serve");
        driver.stop(&parts);
        let mut clients = [(); 3 * ACCEPTS_PER_TURN + 1].map(|()| connect(address));
        let before = descriptors().len();
        for turn in 1..=3 {
            assert_eq!(driver.host.handle_ready(Instant::now()), Progress::More);
            let here = turn * ACCEPTS_PER_TURN - WINDOW_START;
            assert_eq!(descriptors().len(), before + here);
        }
        assert_eq!(driver.host.handle_ready(Instant::now()), Progress::Drained);
        assert_eq!(descriptors().len(), before + clients.len() - WINDOW_START);
        driver.go_on(&parts);
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(1));
        }
        driver.leave(&[1]);
        assert_no_children();
    });
}

/// There is neither a worker that has room nor room to wait: what comes after waits in the kernel.
/// The primary only looks, now and then, whether something was taken.
#[test]
fn a_full_primary_is_not_kept_busy_by_those_who_wait() {
    alone("shortage::a_full_primary_is_not_kept_busy_by_those_who_wait", || {
        let config = Config::new(Schedule::RoundRobin, WAITING, WINDOW_DEFAULT).unwrap();
        let mut driver = Driver::with(config, program());
        let (parts, address) = driver.fork_listening("serve");
        driver.stop(&parts);
        let before = descriptors().len();
        let mut clients = [(); WINDOW_START + WAITING + 10].map(|()| connect(address));
        let all = before + clients.len();
        driver.until(|_| (descriptors().len() == all + WAITING).then_some(()));

        let (turns, used) = (driver.turns, processor_time());
        let end = Instant::now() + FULL_FOR;
        while let rest = end.saturating_duration_since(Instant::now())
            && !rest.is_zero()
        {
            driver.turn(rest);
        }
        let (turns, used) = (driver.turns - turns, processor_time() - used);
        assert!(turns <= 10, "{turns} turns");
        assert!(used < FULL_FOR / 4, "{used:?} of {FULL_FOR:?}");
        assert_eq!(descriptors().len(), all + WAITING);
        assert!(!clients.iter().any(Driver::is_answered));

        driver.go_on(&parts);
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(1));
        }
        driver.leave(&[1]);
        assert_no_children();
    });
}

#[test]
fn more_reads_than_a_turn_has_are_made_in_the_next() {
    alone("shortage::more_reads_than_a_turn_has_are_made_in_the_next", || {
        let mut driver = Driver::new(program());
        let parts = driver.fork("returns");
        let before = descriptors();
        driver.send(&parts, "go");
        driver.await_stop(&parts);
        let turns = [(); 3].map(|()| driver.host.handle_ready(Instant::now()));
        assert_eq!(turns, [Progress::More, Progress::More, Progress::Drained]);
        assert_eq!(descriptors(), before);
        driver.go_on(&parts);
        driver.expect("disconnect 1");
        driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
    });
}

/// Each descriptor ends a read.
pub(crate) fn returns_many() {
    let mut raw = Raw::online();
    assert!(matches!(raw.hear(), Some(Frame::User { .. })));
    let null = File::open("/dev/null").unwrap();
    for _ in 0..=2 * READS_PER_TURN {
        let handle = null.as_fd().try_clone_to_owned().unwrap();
        raw.say(&ToPrimary::Returned { listener: ListenerId(999), peer: None }, Some(handle));
    }
    raise(Signal::SIGSTOP).unwrap();
}

/// unix(7), `ETOOMANYREFS`: more descriptors in flight than the user's limit.
#[test]
fn a_descriptor_that_the_system_does_not_take_is_sent_later() {
    alone("shortage::a_descriptor_that_the_system_does_not_take_is_sent_later", || {
        let mut driver = Driver::new(program());
        let (_, address) = driver.fork_listening("serve");
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(65534)).unwrap();
            // So that /proc/self is still there.
            set_dumpable(true).unwrap();
        }
        let (others, receiver) = Channel::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        assert_eq!(others.send(b"x", &[null.as_fd(); 200]).unwrap(), 1);
        limit_descriptors(100);

        let start = Instant::now();
        driver.clock = Some(start);
        let mut clients = [(); 20].map(|()| connect(address));
        for retry in 1..=3 {
            let due = start + SEND_RETRY * retry;
            driver.until(|it| (it.host.poll_timeout() == Some(due)).then_some(()));
            assert!(!clients.iter().any(Driver::is_answered));
            driver.clock = Some(due);
        }
        driver.assert_nothing_else();
        drop((others, receiver));
        driver.clock = None;
        for client in &mut clients {
            assert_eq!(driver.served(client), Some(1));
        }
        driver.until(|it| it.host.poll_timeout().is_none().then_some(()));
        driver.leave(&[1]);
    });
}

/// Nobody else has it: what a worker gives back to a primary that has no
/// room for it is closed.
#[test]
fn what_a_primary_has_no_descriptor_for_is_closed() {
    alone("shortage::what_a_primary_has_no_descriptor_for_is_closed", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (leaving, address) = driver.fork_listening("give back");
        let mut client = connect(address);
        assert_eq!(driver.message::<String>(), "taken");
        driver.fork_listening("serve");
        limit_descriptors(limit_with_room_for(0));
        driver.order(Command::Disconnect { worker: leaving.facts.id(), kill_after: None });
        driver.expect("draining 1");
        driver.expect("disconnect 1");
        driver.expect("exit 1 code=0 signal=- exited_after_disconnect=true");
        limit_descriptors(1024);
        assert_eq!(driver.served(&mut client), None);
        let mut another = connect(address);
        assert_eq!(driver.served(&mut another), Some(2));
        driver.leave(&[2]);
        drop((driver, client, another));
        assert_eq!(descriptors(), before);
        assert_no_children();
    });
}

/// What a primary cannot take back from a worker that is gone is closed, and no more than that.
#[test]
fn what_a_primary_cannot_take_back_is_closed() {
    alone("shortage::what_a_primary_cannot_take_back_is_closed", || {
        let before = descriptors();
        let mut driver = Driver::new(program());
        let (doomed, address) = driver.fork_listening("serve");
        driver.fork_listening("serve");
        driver.stop(&doomed);
        let mut clients = [connect(address), connect(address)];
        assert_eq!(driver.served(&mut clients[1]), Some(2));
        limit_descriptors(limit_with_room_for(0));
        driver.kill(&doomed);
        limit_descriptors(1024);
        assert_eq!(driver.served(&mut clients[0]), None);
        assert_eq!(driver.served(&mut connect(address)), Some(2));
        driver.leave(&[2]);
        drop((driver, clients));
        assert_eq!(descriptors(), before);
        assert_no_children();
    });
}

/// A share costs descriptors: the listening socket, and a passage; where the kernel shares, a
/// copy of the socket, too. The worker for which there are none hears so, and nothing remains of
/// its wish.
#[test]
fn a_listener_that_cannot_be_shared_may_be_asked_for_again() {
    alone("shortage::a_listener_that_cannot_be_shared_may_be_asked_for_again", || {
        let at_first = descriptors();
        for (schedule, needed, share) in
            [(Schedule::RoundRobin, 4, "connections"), (Schedule::None, 5, "its own socket")]
        {
            let config = Config::new(schedule, WAITING_DEFAULT, WINDOW_DEFAULT).unwrap();
            let mut driver = Driver::with(config, program());
            let parts = driver.fork("listen when told");
            let before = descriptors();
            for room in 0..needed {
                limit_descriptors(limit_with_room_for(room));
                driver.send(&parts, "listen");
                let error: String = driver.message();
                assert_eq!(error, "Os(OsError(24))", "with room for {room}");
                limit_descriptors(1024);
                assert_eq!(descriptors(), before);
                driver.assert_nothing_else();
            }
            limit_descriptors(limit_with_room_for(needed));
            driver.send(&parts, "listen");
            assert_eq!(driver.message::<String>(), share);
            limit_descriptors(1024);
            driver.expect("listening 1 127.0.0.1:*");
            driver.leave(&[1]);
            drop(driver);
            assert_eq!(descriptors(), at_first);
        }
    });
}

/// Connections wait, and a worker joins for which there is no passage.
#[test]
fn what_would_have_been_handed_to_a_worker_without_a_passage_goes_to_others() {
    alone(
        "shortage::what_would_have_been_handed_to_a_worker_without_a_passage_goes_to_others",
        || {
            let mut driver = Driver::new(program());
            let (slow, address) = driver.fork_listening("serve");
            let poor = driver.fork("listen when told");
            driver.stop(&slow);
            let mut clients = [(); 10].map(|()| connect(address));
            driver.turn(Duration::ZERO);
            for room in 0..3 {
                limit_descriptors(limit_with_room_for(room));
                driver.send(&poor, "listen");
                assert_eq!(driver.message::<String>(), "Os(OsError(24))", "with room for {room}");
                limit_descriptors(1024);
            }
            assert!(!clients.iter().any(Driver::is_answered));
            driver.go_on(&slow);
            for client in &mut clients {
                assert_eq!(driver.served(client), Some(1));
            }
            driver.leave(&[1, 2]);
        },
    );
}

/// Listens when it is told, says what came of it, and takes nothing.
pub(crate) fn listen_when_told() {
    let mut site = Site::new();
    let mut shares: Vec<Share> = Vec::new();
    while let Some(message) = site.until(|_, notice| match notice {
        Notice::Message(message, _) => Some(Some(message)),
        Notice::Disconnect => Some(None),
        _ => None,
    }) {
        if message.decode::<String>().unwrap() == "close" {
            for share in shares.drain(..) {
                let listener = share.listener;
                drop(share);
                site.order(WorkersCommand::Close { listener });
            }
            site.send("closed");
            continue;
        }
        match site.try_listen() {
            Err(error) => site.send(&format!("{error:?}")),
            Ok(share) => {
                assert!(share.arrivals.is_some());
                site.send(if share.socket.is_none() { "connections" } else { "its own socket" });
                shares.push(share);
            }
        }
    }
}

/// epoll_ctl(2), `ENOSPC`: what cannot be looked after does not live.
#[test]
fn a_worker_that_cannot_be_watched_does_not_start() {
    alone("shortage::a_worker_that_cannot_be_watched_does_not_start", || {
        let mut driver = Driver::new(program());
        let before = descriptors();
        refuse_to_watch(Errno::ENOSPC);
        driver.try_fork("idle").unwrap_err();
        let cause = worded(Errno::ENOSPC);
        driver.expect(&format!("error 1 cannot start the program: preparing failed: {cause}"));
        driver.assert_nothing_else();
        assert!(!driver.host.has_workers());
        assert_eq!(descriptors(), before);
        assert_no_children();
    });
}

#[test]
fn a_listener_that_cannot_be_watched_is_tried_again_and_told() {
    alone("shortage::a_listener_that_cannot_be_watched_is_tried_again_and_told", || {
        let mut driver = Driver::new(program());
        let parts = driver.fork("listen when told");
        refuse_to_watch(Errno::ENOSPC);
        driver.send(&parts, "listen");
        let cause = worded(Errno::ENOSPC);
        let error = driver.expect("error - cannot accept on 127.0.0.1:*");
        assert!(error.ends_with(&format!(": {cause}")), "{error}");
        assert_eq!(driver.message::<String>(), "connections");
        driver.expect("listening 1 127.0.0.1:*");
        let timeouts = driver.timeouts;
        driver.until(|it| (it.timeouts == timeouts + 3).then_some(()));
        driver.leave(&[1]);
    });
}

/// What this process has used so far.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .map(|it| {
            Duration::from_micros(u64::try_from(it.tv_sec() * 1_000_000 + it.tv_usec()).unwrap())
        })
        .iter()
        .sum()
}

/// How many may wait in a primary that is full.
const WAITING: usize = 4;

/// How long a primary is full.
const FULL_FOR: Duration = Duration::from_millis(300);

/// How often accepting is tried in vain.
const RESTS: u32 = 10;
