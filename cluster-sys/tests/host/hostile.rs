//! Workers that do not speak as they should: they end, and nobody else is concerned.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use cluster_core::{ListenerId, ToPrimary};
use cluster_ipc::limits::{
    CONTROL_MAX, FRAGMENT_MAX, HANDLES_HELD_MAX, HANDLES_PER_FRAME, MESSAGE_OVERHEAD, WINDOW,
};
use cluster_ipc::{Encoding, Frame, Payload};
use cluster_sys::channel::{Channel, HANDLES_MAX};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use crate::driver::{Driver, connect};
use crate::raw::{CONTROL, CREDIT, Outlet, Raw, USER, frame};
use crate::roles::{ROLE, program};
use crate::support::{
    ALONE, add_descriptors, alone, assert_no_children, descriptors, is_readable, only,
    wait_readable,
};

/// What comes before any connection.
#[test]
fn a_worker_that_never_spoke_well_is_gone() {
    alone("hostile::a_worker_that_never_spoke_well_is_gone", || {
        let before = descriptors();
        for (conduct, error) in BEGINNINGS {
            let mut driver = Driver::new(program());
            let honest = driver.fork_listening("serve").1;
            driver.try_fork(&format!("hostile:{conduct}")).unwrap();
            driver.expect("fork 2 *");
            if let Some(error) = error {
                driver.expect(&format!("error 2 {NONSENSE}{error}"));
            }
            driver.expect("disconnect 2");
            driver.expect("exit 2 code=0 signal=- exited_after_disconnect=false");
            assert_eq!(driver.served(&mut connect(honest)), Some(1), "{conduct}");
            driver.leave(&[1]);
            drop(driver);
            assert_eq!(descriptors(), before, "{conduct}");
            assert_no_children();
        }
    });
}

/// What comes while one connection is taken and another is not.
#[test]
fn a_worker_that_begins_to_speak_nonsense_is_gone_with_what_it_has_taken() {
    alone("hostile::a_worker_that_begins_to_speak_nonsense_is_gone_with_what_it_has_taken", || {
        let before = descriptors();
        for (conduct, error) in NONSENSES {
            let mut driver = Driver::new(program());
            let (_, address) = driver.fork_listening(&format!("hostile:{conduct}"));
            driver.fork_listening("serve");
            let [mut first, mut second, mut third] = [(); 3].map(|()| connect(address));
            driver.expect(&format!("error 1 {NONSENSE}{error}"));
            driver.expect("disconnect 1");
            driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
            assert_eq!(driver.served(&mut first), None, "{conduct}");
            assert_eq!(driver.served(&mut second), Some(2), "{conduct}");
            assert_eq!(driver.served(&mut third), Some(2), "{conduct}");
            driver.leave(&[2]);
            drop((driver, first, second, third));
            assert_eq!(descriptors(), before, "{conduct}");
            assert_no_children();
        }
    });
}

/// What is strange and can be understood. The connection in the passage goes to the other worker.
#[test]
fn a_worker_that_is_only_strange_costs_no_connection() {
    alone("hostile::a_worker_that_is_only_strange_costs_no_connection", || {
        let before = descriptors();
        for conduct in ODDITIES {
            let mut driver = Driver::new(program());
            let (_, address) = driver.fork_listening(&format!("hostile:{conduct}"));
            driver.fork_listening("serve");
            assert_eq!(driver.served(&mut connect(address)), Some(2), "{conduct}");
            driver.expect("disconnect 1");
            driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
            assert_eq!(driver.served(&mut connect(address)), Some(2), "{conduct}");
            driver.leave(&[2]);
            drop(driver);
            assert_eq!(descriptors(), before, "{conduct}");
            assert_no_children();
        }
    });
}

/// Such a worker takes nothing. Nobody is kept busy by it.
#[test]
fn what_does_not_go_into_a_passage_is_served_by_another() {
    let mut driver = Driver::new(program());
    let (strange, address) = driver.fork_listening("hostile:a passage that is shut");
    assert_eq!(driver.message::<u32>(), 0);
    driver.fork_listening("serve");
    for mut client in [(); 4].map(|()| connect(address)) {
        assert_eq!(driver.served(&mut client), Some(2));
    }
    driver.until(|it| it.host.poll_timeout().is_none().then_some(()));
    assert!(!is_readable(driver.host.poll_fd()));
    driver.kill(&strange);
    driver.leave(&[2]);
}

/// Every worker knows the names of all listeners: they are numbers.
#[test]
fn nobody_closes_what_only_others_share() {
    let mut driver = Driver::new(program());
    let (honest, address) = driver.fork_listening("serve");
    let strange = driver.fork("hostile:closes what others share");
    driver.stop(&honest);
    let mut clients = [(); 5].map(|()| connect(address));
    driver.turn(Duration::ZERO);
    driver.send(&strange, "close");
    assert_eq!(driver.message::<u32>(), 0);
    driver.go_on(&honest);
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(1));
    }
    driver.kill(&strange);
    driver.leave(&[1]);
}

/// More than the window holds, while the application takes nothing.
#[test]
fn a_worker_that_sends_more_than_it_may_is_gone() {
    let mut driver = Driver::new(program());
    driver.fork("hostile:overrun");
    driver.expect(&format!("error 1 {NONSENSE}the fragment costs *"));
    driver.expect("disconnect 1");
    driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
    let costs = FRAGMENT_MAX + 8 + MESSAGE_OVERHEAD;
    assert_eq!(driver.messages.len(), WINDOW as usize / costs);
    driver.assert_nothing_else();
}

/// What holds the channel of a dead worker keeps the primary busy for a while, and not for ever.
#[test]
fn an_endless_speech_does_not_hide_an_exit() {
    let mut driver = Driver::new(program());
    driver.fork("hostile:endless speech of a child");
    driver.expect("exit 1 code=0 signal=- exited_after_disconnect=false");
    let speaker: u32 = driver.message();
    let speaker = nix::unistd::Pid::from_raw(speaker.cast_signed());
    nix::sys::signal::kill(speaker, nix::sys::signal::Signal::SIGKILL).unwrap();
    driver.expect("disconnect 1");
    driver.assert_nothing_else();
}

/// The worker's side.
pub(crate) fn worker(conduct: &str) {
    if BEGINNINGS.iter().any(|(it, _)| *it == conduct) {
        return begin_badly(conduct);
    }
    match conduct {
        "overrun" => return overrun(),
        "endless speech of a child" => return leave_a_speaker(),
        "endless speech" => return speak_endlessly(),
        "closes what others share" => return close_what_others_share(),
        _ => {}
    }
    let (mut raw, listener, passage) = Raw::listening();
    if conduct == "a passage that is shut" {
        shutdown(passage.0.as_fd().as_raw_fd(), Shutdown::Both).unwrap();
        raw.write(&frame(USER, 0, 0, &[0]), &[]);
        raw.await_end();
    } else if NONSENSES.iter().any(|(it, _)| *it == conduct) {
        let taken = passage.connection();
        speak_nonsense(conduct, &mut raw);
        // It holds the connection, and does not touch it.
        raw.await_end();
        drop(taken);
    } else {
        wait_readable(&passage.0);
        be_strange(conduct, &mut raw, listener, &passage);
    }
}

fn begin_badly(conduct: &str) {
    let raw = Raw::silent();
    let hello = |version: u8| frame(1, 0, 0, &[&b"cluster\n"[..], &[version, 0]].concat());
    match conduct {
        "nothing" => return,
        "half a hello" => return raw.write(&hello(1)[..10], &[]),
        "noise" => raw.write(&[0xff; 4096], &[]),
        "a hello of another protocol" => raw.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[]),
        "another version" => raw.write(&hello(2), &[]),
        "two hellos" => raw.write(&[hello(1), hello(1)].concat(), &[]),
        "online without a hello" => raw.write(&frame(CONTROL, 0, 0, &[0; 16]), &[]),
        _ => panic!("no such conduct: {conduct}"),
    }
    raw.await_end();
}

/// Before anything else, and what the primary says to it.
const BEGINNINGS: &[(&str, Option<&str>)] = &[
    ("nothing", None),
    ("half a hello", None),
    ("noise", Some("*")),
    ("a hello of another protocol", Some("*")),
    ("another version", Some("*")),
    ("two hellos", Some("*")),
    ("online without a hello", Some("*")),
];

fn speak_nonsense(conduct: &str, raw: &mut Raw) {
    let null = File::open("/dev/null").unwrap();
    match conduct {
        "garbage" => raw.write(&[0xff; 4096], &[]),
        "an unknown kind of frame" => raw.write(&frame(9, 0, 0, b""), &[]),
        "unknown flags" => raw.write(&frame(CONTROL, 0x80, 0, &[0]), &[]),
        "an unknown message" => raw.write(&frame(CONTROL, 0, 0, &[200, 1]), &[]),
        "half a message" => raw.write(&frame(CONTROL, 0, 0, &[CLOSE]), &[]),
        "bytes behind a message" => raw.write(&frame(CONTROL, 0, 0, &[ONLINE, 0]), &[]),
        "short credit" => raw.write(&frame(CREDIT, 0, 0, &[1, 2]), &[]),
        "a handle that did not come" => raw.write(&frame(CONTROL, 0, 1, &[RETURNED, 1, 0]), &[]),
        "a handle too many" => raw.write(&frame(CONTROL, 0, 1, &[ONLINE]), &[null.as_fd()]),
        "a handle too few" => raw.write(&frame(CONTROL, 0, 0, &[RETURNED, 1, 0]), &[]),
        "a frame with too many handles" => {
            let handles = u16::try_from(HANDLES_PER_FRAME + 1).unwrap();
            raw.write(&frame(CONTROL, 0, handles, &[ONLINE]), &[]);
        }
        "a frame too large" => {
            let header = &frame(CONTROL, 0, 0, &vec![0; CONTROL_MAX + 1])[..8];
            raw.write(header, &[]);
        }
        "handles without frames" => {
            // The body never comes to its end.
            let bytes = frame(CONTROL, 0, 0, &[0; 1000]);
            for at in 0..=HANDLES_HELD_MAX / HANDLES_MAX {
                raw.write(&bytes[at..=at], &[null.as_fd(); HANDLES_MAX]);
            }
        }
        "a message that changes" => {
            let postcard_and_json = [frame(USER, 1, 0, b"a"), frame(USER, 2, 0, b"b")];
            raw.write(&postcard_and_json.concat(), &[]);
        }
        _ => panic!("no such conduct: {conduct}"),
    }
}

/// With a connection in flight, and what the primary says to it.
const NONSENSES: &[(&str, &str)] = &[
    ("garbage", "*"),
    ("an unknown kind of frame", "*"),
    ("unknown flags", "*"),
    ("an unknown message", "malformed control frame"),
    ("half a message", "malformed control frame"),
    ("bytes behind a message", "1 bytes after the end of a control message"),
    ("short credit", "*"),
    ("a handle that did not come", "a frame with 1 handles, 0 have come"),
    ("a handle too many", "*"),
    ("a handle too few", "*"),
    ("a frame with too many handles", "a control frame with 65 handles, 64 are allowed"),
    ("a frame too large", "a control frame of 65537 bytes, 65536 are allowed"),
    ("handles without frames", "more than 1024 handles without a frame"),
    ("a message that changes", "the encoding changes inside a message"),
];

fn be_strange(conduct: &str, raw: &mut Raw, listener: ListenerId, passage: &Outlet) {
    let null = || File::open("/dev/null").unwrap().into();
    let nowhere = ListenerId(999);
    match conduct {
        "answers to nothing" => {
            raw.say(&ToPrimary::Close { listener: nowhere }, None);
            raw.say(&ToPrimary::Listening { listener: nowhere }, None);
            raw.say(&ToPrimary::Finished { count: u64::MAX }, None);
            raw.say(&ToPrimary::Reported, None);
            raw.say(&ToPrimary::Awake, None);
            raw.say(&ToPrimary::Online, None);
        }
        "closes again and again" => {
            for _ in 0..3 {
                raw.say(&ToPrimary::Close { listener }, None);
            }
            raw.say(&ToPrimary::Listening { listener }, None);
        }
        "listens again and again" => {
            for _ in 0..3 {
                raw.say(&ToPrimary::Listening { listener }, None);
            }
        }
        "returns to no listener" => {
            raw.say(&ToPrimary::Returned { listener: nowhere, peer: None }, Some(null()));
        }
        "returns what it never had" => {
            raw.say(&ToPrimary::Close { listener }, None);
            // As good a connection as any.
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            raw.say(&ToPrimary::Returned { listener, peer: None }, Some(theirs.into()));
            let mut text = String::new();
            ours.read_to_string(&mut text).unwrap();
            assert_eq!(text, "2\n");
        }
        "half a frame and the end" => {
            let close = frame(CONTROL, 0, 0, &[CLOSE, 0]);
            raw.write(&close[..close.len() - 1], &[]);
        }
        "half a frame and no more words" => {
            raw.write(&frame(CONTROL, 0, 0, &[CLOSE])[..5], &[]);
            raw.channel.shutdown_write().unwrap();
        }
        "a handle that belongs to no frame" => {
            let handle = File::open("/dev/null").unwrap();
            raw.write(&frame(CONTROL, 0, 0, &[ONLINE]), &[handle.as_fd()]);
        }
        "credit without end" => {
            for _ in 0..3 {
                raw.write(&frame(CREDIT, 0, 0, &u32::MAX.to_le_bytes()), &[]);
            }
        }
        _ => abuse(conduct, &passage.0),
    }
}

/// What can be done to the end of a passage.
fn abuse(conduct: &str, passage: &Channel) {
    match conduct {
        "writes into its passage" => {
            let null = File::open("/dev/null").unwrap();
            let full = loop {
                match passage.send(b"not a slip", &[null.as_fd()]) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            let expected = [Errno::EAGAIN, Errno::ETOOMANYREFS].map(|it| Some(it as i32));
            assert!(expected.contains(&full.raw_os_error()), "{full}");
        }
        "has descriptors added in its passage" => add_descriptors(passage),
        "shuts its passage down" => {
            shutdown(passage.as_fd().as_raw_fd(), Shutdown::Both).unwrap();
        }
        "shuts its passage for itself" => {
            shutdown(passage.as_fd().as_raw_fd(), Shutdown::Read).unwrap();
        }
        _ => panic!("no such conduct: {conduct}"),
    }
}

/// With a connection in flight, and then the end.
const ODDITIES: &[&str] = &[
    "answers to nothing",
    "closes again and again",
    "listens again and again",
    "returns to no listener",
    "returns what it never had",
    "half a frame and the end",
    "half a frame and no more words",
    "a handle that belongs to no frame",
    "credit without end",
    "writes into its passage",
    "has descriptors added in its passage",
    "shuts its passage down",
    "shuts its passage for itself",
];

fn close_what_others_share() {
    let mut raw = Raw::online();
    assert!(matches!(raw.hear(), Some(Frame::User { .. })));
    for number in 0..10 {
        raw.say(&ToPrimary::Close { listener: ListenerId(number) }, None);
    }
    raw.write(&frame(USER, 0, 0, &[0]), &[]);
    raw.await_end();
}

fn overrun() {
    let raw = Raw::online();
    let payload = Payload::from_bytes(Encoding::Postcard, vec![0; FRAGMENT_MAX]);
    let mut channel = File::from(raw.channel.as_fd().try_clone_to_owned().unwrap());
    let mut rest: &[u8] = &frame(USER, 0, 0, payload.bytes()).repeat(10);
    // A file that is a non-blocking socket: what does not fit is written when it does.
    while !rest.is_empty() {
        match channel.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            // The primary has had enough.
            Err(_) => break,
        }
    }
}

/// Starts a child that has the channel as its standard output, and ends.
#[allow(clippy::zombie_processes, reason = "it outlives this process")]
fn leave_a_speaker() {
    let raw = Raw::online();
    let channel = raw.channel.as_fd().try_clone_to_owned().unwrap();
    let mut child = Process::new("/proc/self/exe")
        .args(only("roles::worker"))
        .env(ROLE, "hostile:endless speech")
        .env_remove(ALONE)
        .stdin(channel)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // From here on it alone speaks, and it has begun.
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.map(Result::unwrap).any(|line| line.contains("speaks")));
}

/// Says that nothing has ended, and again.
fn speak_endlessly() {
    let stdin = std::io::stdin();
    let mut channel = File::from(stdin.as_fd().try_clone_to_owned().unwrap());
    let number = Payload::encode(Encoding::Postcard, &std::process::id()).unwrap();
    channel.write_all(&frame(USER, 0, 0, number.bytes())).unwrap();
    println!("speaks");
    let speech = frame(CONTROL, 0, 0, &[FINISHED, 0]).repeat(4096);
    let mut rest = &speech[..];
    loop {
        match channel.write(rest) {
            Ok(written) if written == rest.len() => rest = &speech,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

const NONSENSE: &str = "channel: the other side does not speak as it should: ";

/// The first byte of messages in postcard: their place among [`ToPrimary`]'s.
const ONLINE: u8 = 0;
const CLOSE: u8 = 3;
const RETURNED: u8 = 4;
const FINISHED: u8 = 5;
