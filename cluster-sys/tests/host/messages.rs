//! Messages of the application, in both directions, and what holds them up.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use cluster_ipc::limits::{FRAGMENT_MAX, HANDLES_PER_FRAME, MESSAGE_OVERHEAD, WINDOW};
use cluster_sys::channel::Channel;
use cluster_sys::limits::OUTBOX_BYTES;
use cluster_sys::primary::Command;
use cluster_sys::worker::Notice;
use cluster_sys::{
    Encoding, Message, NoRoom, Outbox, Outgoing, Payload, Receipt, Reply, SendError,
};

use crate::driver::{Driver, Reports, reply};
use crate::raw::{USER, frame};
use crate::roles::program;
use crate::site::{Reporter, Site};
use crate::support::skip;

#[test]
fn many_small_messages_come_back_in_order() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("echo");
    let (mut sent, mut heard) = (0, 0);
    while heard < MANY {
        while sent < MANY && driver.try_send(&parts, &sent, None).is_ok() {
            sent += 1;
        }
        let rooms = driver.rooms;
        driver.until(|it| (!it.messages.is_empty() || it.rooms > rooms).then_some(()));
        for (_, message, _receipt) in driver.messages.drain(..) {
            assert_eq!(message.decode::<u32>().unwrap(), heard);
            heard += 1;
        }
    }
    assert_eq!(parts.outbox.queued(), 0);
    driver.leave(&[1]);
}

#[test]
fn large_messages_come_back_whole() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("echo");
    let bytes: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    for bytes in [bytes, vec![]] {
        let payload = Payload::from_bytes(Encoding::Postcard, bytes);
        let permit = parts.outbox.reserve(payload.len()).unwrap();
        let message = Outgoing::new(payload.clone(), permit);
        driver.order(Command::Send { worker: parts.facts.id(), message, reply: None });
        let (_, back, _receipt) = driver.next_message();
        assert!(*back.payload() == payload, "something else of {} bytes", back.payload().len());
    }
    driver.leave(&[1]);
}

/// Sends back what comes. What cannot be sent yet is not taken yet.
pub(crate) fn echo() {
    let mut site = Site::new();
    let mut waiting: VecDeque<(Message, Receipt)> = VecDeque::new();
    site.until(|site, notice| {
        match notice {
            Notice::Message(message, receipt) => waiting.push_back((message, receipt)),
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        while let Some((message, _)) = waiting.front() {
            let payload = message.payload().clone();
            let Ok(permit) = site.host.outbox().reserve(payload.len()) else { break };
            let message = Outgoing::new(payload, permit);
            let send = cluster_sys::worker::Command::Send { message, reply: None };
            site.host.handle_command(Instant::now(), send);
            waiting.pop_front();
        }
        None
    });
}

/// Nobody reads meanwhile, and written one by one they would not fit into the channel.
#[test]
fn what_is_ordered_together_is_written_together() {
    let Some(count) = twice_what_a_channel_takes() else {
        return skip("so many small messages are more than a window");
    };
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    let parts = driver.fork("together");
    let mut report = reports.accept();
    driver.stop(&parts);
    let (commands, written): (Vec<_>, Vec<_>) = (0..count)
        .map(|_| {
            let (message, reply, written) = small_message(&parts.outbox);
            (Command::Send { worker: parts.facts.id(), message, reply }, written)
        })
        .unzip();
    driver.host.handle_commands(driver.now(), commands);
    assert_eq!(written_of(&written), count);
    driver.go_on(&parts);
    // From here on, nobody reads in the primary.
    assert_eq!(report.next(), format!("{count} of {count}"));
    driver.until(|it| (it.messages.len() == count).then_some(()));
    driver.leave(&[1]);
}

/// Waits until all has come, and answers with as many messages.
pub(crate) fn together() {
    let count = twice_what_a_channel_takes().unwrap();
    let mut reporter = Reporter::new();
    let mut site = Site::new();
    let mut heard = 0;
    site.until(|_, notice| {
        heard += usize::from(matches!(notice, Notice::Message(..)));
        (heard == count).then_some(())
    });
    let (commands, written): (Vec<_>, Vec<_>) = (0..count)
        .map(|_| {
            let (message, reply, written) = small_message(site.host.outbox());
            (cluster_sys::worker::Command::Send { message, reply }, written)
        })
        .unzip();
    site.host.handle_commands(Instant::now(), commands);
    reporter.say(&format!("{} of {count}", written_of(&written)));
    site.serve_on();
}

type Written = Result<(), SendError>;

fn small_message(outbox: &Arc<Outbox>) -> (Outgoing, Option<Reply<Written>>, Receiver<Written>) {
    let payload = Payload::from_bytes(Encoding::Postcard, vec![SMALL]);
    let permit = outbox.reserve(payload.len()).unwrap();
    let (reply, written) = reply();
    (Outgoing::new(payload, permit), Some(reply), written)
}

fn written_of(all: &[Receiver<Written>]) -> usize {
    all.iter().filter(|it| matches!(it.try_recv(), Ok(Ok(())))).count()
}

/// Twice as many small messages as a channel takes if each is written by itself; none, if that is
/// more than a window.
fn twice_what_a_channel_takes() -> Option<usize> {
    let frame = frame(USER, 0, 0, &[SMALL]);
    let (ours, _theirs) = Channel::pair().unwrap();
    let count = 2 * std::iter::from_fn(|| ours.send(&frame, &[]).ok()).count();
    (count * (frame.len() + MESSAGE_OVERHEAD) <= WINDOW as usize / 2).then_some(count)
}

/// Who takes nothing gets no more than a window, and who sends finds its outbox full.
#[test]
fn a_receiver_that_takes_nothing_holds_the_sender_up() {
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    driver.fork("flood");
    let mut report = reports.accept();
    assert_eq!(report.next(), "full");
    let charge = 8 + PIECE_ENCODED + MESSAGE_OVERHEAD;
    let most = WINDOW as usize / charge;
    driver.until(|it| (it.messages.len() >= most).then_some(()));
    for _ in 0..10 {
        driver.turn(Duration::ZERO);
    }
    assert_eq!(driver.messages.len(), most);
    for expected in 0..FLOOD {
        let piece: (u32, Vec<u8>) = driver.message();
        assert_eq!(piece, (expected, vec![7; PIECE]));
    }
    assert_eq!(report.next(), "all are sent");
    driver.leave(&[1]);
}

pub(crate) fn flood() {
    let mut reporter = Reporter::new();
    let mut site = Site::new();
    let mut refused = false;
    for number in 0..FLOOD {
        let piece = (number, vec![7_u8; PIECE]);
        while let Err(no_room) = site.try_send(&piece, None) {
            assert_eq!(no_room, NoRoom::Full);
            assert!(site.host.outbox().queued() >= OUTBOX_BYTES);
            if !std::mem::replace(&mut refused, true) {
                reporter.say("full");
            }
            site.until(|_, notice| matches!(notice, Notice::Room).then_some(()));
        }
        // Never much beyond the limit.
        assert!(site.host.outbox().queued() < OUTBOX_BYTES + 2 * PIECE_ENCODED);
    }
    reporter.say("all are sent");
    site.serve_on();
}

/// A message larger than the window needs the room of the small one before it, and so it stands
/// still until that is taken, by whatever thread.
#[test]
fn a_large_message_comes_through_when_the_small_one_before_it_is_taken() {
    let reports = Reports::new();
    let mut driver = Driver::new(reports.program());
    driver.fork("small and large");
    let mut report = reports.accept();
    for _ in 0..ROUNDS {
        let (_, small, receipt) = driver.next_message();
        assert_eq!(small.decode::<Vec<u8>>().unwrap(), [1]);
        let taker = thread::spawn(move || {
            assert_eq!(report.next(), "it stands still");
            drop(receipt);
            report
        });
        let (_, large, _receipt) = driver.next_message();
        assert_eq!(large.payload().len(), LARGE + 3);
        report = taker.join().unwrap();
    }
    driver.leave(&[1]);
}

pub(crate) fn small_and_large() {
    let mut reporter = Reporter::new();
    let mut site = Site::new();
    for _ in 0..ROUNDS {
        site.send(&vec![1_u8]);
        site.send(&vec![2_u8; LARGE]);
        // Nothing has moved for so long. Whether it is for ever is what the test finds out.
        let quiet = Duration::from_millis(20);
        while site.host.outbox().queued() > 0 {
            let before = Instant::now();
            site.turn(quiet);
            if before.elapsed() >= quiet {
                reporter.say("it stands still");
                break;
            }
        }
        while site.host.outbox().queued() > 0 {
            site.turn(Duration::from_secs(1));
        }
    }
    site.serve_on();
}

#[test]
fn messages_taken_by_another_thread_let_more_come() {
    let mut driver = Driver::new(program());
    driver.fork("many");
    let (takes, receipts) = channel::<Receipt>();
    let taker = thread::spawn(move || receipts.into_iter().count());
    for expected in 0..MANY {
        let (_, message, receipt) = driver.next_message();
        assert_eq!(message.decode::<(u32, Vec<u8>)>().unwrap().0, expected);
        takes.send(receipt).unwrap();
    }
    drop(takes);
    assert_eq!(taker.join().unwrap(), MANY as usize);
    driver.leave(&[1]);
}

pub(crate) fn many() {
    let mut site = Site::new();
    for number in 0..MANY {
        site.send(&(number, vec![7_u8; 200]));
    }
    site.serve_on();
}

/// Credit is not announced for every trifle. What is withheld never keeps a message from coming,
/// not even the costliest.
#[test]
fn credit_that_is_not_announced_yet_holds_nothing_up() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("handles");
    // Almost half a window, which the host knows to be taken.
    assert_eq!(driver.message::<Vec<u8>>().len(), FIRST);
    driver.send(&parts, "go on");
    // And almost a quarter more.
    driver.until(|it| (it.messages.len() == 2).then_some(()));
    driver.messages.clear();
    let (_, message, _receipt) = driver.next_message();
    assert_eq!(std::iter::from_fn(|| message.take_handle()).count(), HANDLES_PER_FRAME);
    driver.leave(&[1]);
}

pub(crate) fn handles() {
    let mut site = Site::new();
    site.send(&vec![1_u8; FIRST]);
    site.until(|_, notice| matches!(notice, Notice::Message(..)).then_some(()));
    site.send(&vec![2_u8; SECOND]);
    site.send(&vec![3_u8; SECOND]);
    let payload = Payload::from_bytes(Encoding::Postcard, vec![4; FRAGMENT_MAX]);
    let permit = site.host.outbox().reserve(payload.len()).unwrap();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let handles = (0..HANDLES_PER_FRAME).map(|_| null.try_clone().unwrap()).collect();
    let message = Outgoing::new(payload, permit).with_handles(handles);
    let send = cluster_sys::worker::Command::Send { message, reply: None };
    site.host.handle_command(Instant::now(), send);
    site.serve_on();
}

/// In four fragments and with all that it costs, just less than half a window.
const FIRST: usize = WINDOW as usize / 2 - 4 * 8 - MESSAGE_OVERHEAD - 8;

/// In one fragment, just less than an eighth of a window.
const SECOND: usize = WINDOW as usize / 8 - 8 - MESSAGE_OVERHEAD - 8;

#[test]
fn who_sends_hears_what_became_of_it() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("idle");
    let answer = |driver: &mut Driver, value: &[u8]| {
        let (reply, answer) = reply();
        driver.try_send(&parts, value, Some(reply)).map(|()| answer)
    };
    let written = answer(&mut driver, &[1]).unwrap();
    assert!(matches!(driver.until(|_| written.try_recv().ok()), Ok(())));

    driver.stop(&parts);
    let mut answers = Vec::new();
    let no_room = loop {
        match answer(&mut driver, &[2; 5000]) {
            Ok(answer) => answers.push(answer),
            Err(no_room) => break no_room,
        }
    };
    assert_eq!(no_room, NoRoom::Full);
    let late = parts.outbox.reserve(0).map(drop);
    assert_eq!(late, Err(NoRoom::Full));
    let rooms = driver.rooms;
    driver.kill(&parts);
    assert!(driver.rooms > rooms, "whoever waits for room is told");
    let answers: Vec<_> = answers.into_iter().map(|it| it.try_recv().unwrap()).collect();
    let written = answers.iter().take_while(|it| it.is_ok()).count();
    assert!(written > 0 && written < answers.len());
    let disconnected = |it: &Result<(), _>| matches!(it, Err(SendError::Disconnected));
    assert!(answers[written..].iter().all(disconnected));
    assert_eq!(parts.outbox.queued(), 0);
    assert_eq!(answer(&mut driver, &[3]).map(drop), Err(NoRoom::Closed));
    driver.assert_nothing_else();
}

/// With the room in hand, but nobody there any more.
#[test]
fn a_message_to_a_worker_that_is_gone_is_not_sent() {
    let mut driver = Driver::new(program());
    let parts = driver.fork("idle");
    let permit = parts.outbox.reserve(1).unwrap();
    driver.kill(&parts);
    let message = Outgoing::new(Payload::from_bytes(Encoding::Json, vec![b'1']), permit);
    let worker = parts.facts.id();
    let sent = driver.ask(|reply| Command::Send { worker, message, reply: Some(reply) });
    assert!(matches!(sent, Err(SendError::Disconnected)));
}

#[test]
fn a_guard_that_another_thread_drops_lets_the_worker_leave() {
    let mut driver = Driver::new(program());
    let workers: Vec<_> = (1..=8).collect();
    for _ in &workers {
        driver.fork("guard");
    }
    driver.leave(&workers);
}

pub(crate) fn guard_elsewhere() {
    let mut site = Site::new();
    let guard = site.host.activity().begin();
    let (leaves, leaving) = channel();
    let keeper = thread::spawn(move || {
        let () = leaving.recv().unwrap();
        drop(guard);
    });
    site.until(|_, notice| {
        match notice {
            Notice::Draining => leaves.send(()).unwrap(),
            Notice::Disconnect => return Some(()),
            _ => {}
        }
        None
    });
    keeper.join().unwrap();
}

/// What is in a small message.
const SMALL: u8 = 1;

const MANY: u32 = 10_000;
const ROUNDS: usize = 5;

/// More than an outbox and a window.
const FLOOD: u32 = 3000;
const PIECE: usize = 1000;

/// A number below 128, two bytes of length, and the piece; greater numbers take two bytes.
const PIECE_ENCODED: usize = PIECE + 3;

/// Larger than the window.
const LARGE: usize = 1024 * 1024;
