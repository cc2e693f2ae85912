//! The other end of a socketpair: a process that does one thing a certain number of times.

use std::env;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::close;

use super::descriptors::{self, Receiver};

/// The bytes of a small message.
pub(super) const MESSAGE: usize = 32;

/// A read takes as much as this.
pub(super) const ROOM: usize = 65_536;

/// So many descriptors are acknowledged by one byte: an unprivileged process may have only as
/// many on their way as it may have open.
pub(super) const PORTION: usize = 256;

/// A file that every system has.
pub(super) const FILE: &str = "/dev/null";

#[derive(Debug, Args)]
pub(super) struct Options {
    task: Task,
    count: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Task {
    /// Sends messages back.
    Echo,
    /// The same, waiting for each with epoll(7) as an event loop does.
    EchoAwaited,
    /// Sends descriptors back.
    EchoHandles,
    /// Reads messages, and says when it has them all.
    Take,
    /// Closes descriptors, with a byte for each portion, and one at the end.
    TakeHandles,
    /// Writes messages.
    Give,
    /// Sends descriptors, one a message.
    GiveHandles,
}

impl Task {
    /// Starts a process that does this. It is ready when it has sent a byte.
    pub(super) fn start(self, count: u64) -> Result<(UnixStream, Child)> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let name = match self {
            Self::Echo => "echo",
            Self::EchoAwaited => "echo-awaited",
            Self::EchoHandles => "echo-handles",
            Self::Take => "take",
            Self::TakeHandles => "take-handles",
            Self::Give => "give",
            Self::GiveHandles => "give-handles",
        };
        let child = Command::new(env::current_exe()?)
            .args(["bench-raw", "partner", name, &count.to_string()])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        ours.read_exact(&mut [0])?;
        Ok((ours, child))
    }
}

/// Does what is asked: the standard input is the channel.
pub(super) fn run(options: &Options) -> Result<()> {
    let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.write_all(&[0])?;
    match options.task {
        Task::Echo => {
            let mut message = [0; MESSAGE];
            for _ in 0..options.count {
                channel.read_exact(&mut message)?;
                channel.write_all(&message)?;
            }
        }
        Task::EchoAwaited => {
            let (mut message, epoll) = ([0; MESSAGE], watch(&channel)?);
            for _ in 0..options.count {
                await_message(&epoll)?;
                channel.read_exact(&mut message)?;
                channel.write_all(&message)?;
            }
        }
        Task::EchoHandles => {
            let mut received = Receiver::new();
            for _ in 0..options.count {
                let handles = received.next(channel.as_raw_fd())?;
                descriptors::send(channel.as_raw_fd(), &handles)?;
                handles.into_iter().try_for_each(close)?;
            }
        }
        Task::Take => {
            take(&mut channel, options.count)?;
            channel.write_all(&[0])?;
        }
        Task::TakeHandles => {
            take_handles(&mut channel, options.count)?;
            channel.write_all(&[0])?;
        }
        Task::Give => {
            // The other side says when it begins to measure.
            channel.read_exact(&mut [0])?;
            give(&mut channel, options.count)?;
        }
        Task::GiveHandles => {
            channel.read_exact(&mut [0])?;
            give_handles(&mut channel, options.count, 1)?;
        }
    }
    // The other side goes first.
    channel.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// For [`await_message`].
pub(super) fn watch(channel: &UnixStream) -> Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(channel, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
    Ok(epoll)
}

pub(super) fn await_message(epoll: &Epoll) -> Result<()> {
    loop {
        match epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Reads `count` messages.
pub(super) fn take(channel: &mut UnixStream, count: u64) -> Result<()> {
    let mut room = [0; ROOM];
    let mut left = count * MESSAGE as u64;
    while left > 0 {
        let got = channel.read(&mut room)?;
        ensure!(got > 0, "the channel ended early");
        left -= got as u64;
    }
    Ok(())
}

/// Writes `count` messages, each by itself.
pub(super) fn give(channel: &mut UnixStream, count: u64) -> Result<()> {
    let message = [0; MESSAGE];
    (0..count).try_for_each(|_| channel.write_all(&message))?;
    Ok(())
}

/// Receives and closes `count` descriptors.
pub(super) fn take_handles(channel: &mut UnixStream, count: u64) -> Result<()> {
    let mut received = Receiver::new();
    let (mut taken, mut told) = (0, 0);
    while taken < count as usize {
        let handles = received.next(channel.as_raw_fd())?;
        ensure!(!handles.is_empty(), "the channel ended early");
        taken += handles.len();
        handles.into_iter().try_for_each(close)?;
        while taken - told >= PORTION {
            channel.write_all(&[0])?;
            told += PORTION;
        }
    }
    Ok(())
}

/// Sends `count` descriptors, `size` a message, with two portions on their way at most.
pub(super) fn give_handles(channel: &mut UnixStream, count: u64, size: usize) -> Result<()> {
    let file = File::open(FILE)?;
    let handles = vec![file.as_raw_fd(); size];
    let (mut sent, mut acknowledged) = (0, 0);
    while sent < count as usize {
        let now = size.min(count as usize - sent);
        descriptors::send(channel.as_raw_fd(), &handles[..now])?;
        sent += now;
        while sent - acknowledged > 2 * PORTION {
            channel.read_exact(&mut [0])?;
            acknowledged += PORTION;
        }
    }
    // What is acknowledged later belongs to this, too.
    let rest = (count as usize - acknowledged) / PORTION;
    channel.read_exact(&mut vec![0; rest])?;
    Ok(())
}
