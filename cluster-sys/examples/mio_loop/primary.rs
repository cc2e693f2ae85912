//! The primary: its host and its standard input, in one loop.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use cluster_sys::primary::{Command, Notice, PrimaryHost};
use cluster_sys::{Config, Event, InForce, Progress, Reply, Settings};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;

/// Runs a cluster until standard input has something to say.
pub(crate) fn run(workers: usize) -> Result<(), Failure> {
    let mut host = PrimaryHost::new(Config::default(), InForce::new())?;
    let mut poll = Poll::new()?;
    let mut readiness = Events::with_capacity(16);
    let registry = poll.registry();
    let host_fd = host.poll_fd().as_raw_fd();
    registry.register(&mut SourceFd(&host_fd), HOST, Interest::READABLE)?;
    // A file is always readable, and cannot be polled.
    let input = io::stdin().as_raw_fd();
    let polled = registry.register(&mut SourceFd(&input), INPUT, Interest::READABLE).is_ok();

    for _ in 0..workers {
        let reply = Reply::new(|forked: Result<_, _>| {
            if let Err(error) = forked {
                eprintln!("error: {error}");
            }
        });
        host.handle_command(Instant::now(), Command::Fork { settings: Settings::new(), reply });
    }
    while host.has_workers() {
        tell(&mut host)?;
        poll_once(&mut poll, &mut readiness, host.poll_timeout())?;
        for event in readiness.iter() {
            if event.token() == INPUT && polled {
                io::stdin().read(&mut [0; 1024]).map(drop)?;
                let reply = Reply::ignore();
                let leave = Command::DisconnectAll { kill_after: None, reply };
                host.handle_command(Instant::now(), leave);
            }
        }
        // mio tells an edge once, so the host has its turns until it has nothing more to do.
        while host.handle_ready(Instant::now()) == Progress::More {}
        if host.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            host.handle_timeout(Instant::now());
        }
    }
    Ok(tell(&mut host)?)
}

/// Waits for readiness or a deadline. A signal that interrupts it is as good as readiness.
pub(crate) fn poll_once(
    poll: &mut Poll,
    readiness: &mut Events,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    match poll.poll(readiness, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

/// Prints what has happened, and replaces workers that died by themselves.
fn tell(host: &mut PrimaryHost) -> io::Result<()> {
    while let Some(notice) = host.poll_event() {
        let Notice::Event(event, _receipt) = notice else { continue };
        let mut out = io::stdout().lock();
        writeln!(out, "{event}")?;
        out.flush()?;
        if let Event::Exit { exited_after_disconnect: false, .. } = event {
            let fork = Command::Fork { settings: Settings::new(), reply: Reply::ignore() };
            host.handle_command(Instant::now(), fork);
        }
    }
    Ok(())
}

const HOST: Token = Token(0);
const INPUT: Token = Token(1);
