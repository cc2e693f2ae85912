//! A worker: its standard input is the channel to the primary.

use std::io::{self, Read as _};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::process;
use std::thread;

use anyhow::{Result, ensure};
use clap::Args;
use nix::sys::socket::{MsgFlags, send};

use super::answer;
use super::descriptors::{DESCRIPTORS_MAX, Receiver};
use super::http::{Schedule, listener};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(long)]
    id: usize,
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long)]
    schedule: Schedule,
}

/// Serves until the primary has ended.
pub(super) fn run(options: &Options) -> Result<()> {
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    let name = format!("worker {} pid {}\n", options.id, process::id());
    let response = answer::response(&name);
    match options.schedule {
        Schedule::Rr => {
            say_ready(channel.as_raw_fd())?;
            take_and_answer(channel.as_raw_fd(), &response)
        }
        Schedule::None => {
            let mut received = Receiver::new();
            let listeners = received.next(channel.as_raw_fd())?;
            ensure!(listeners.len() == 1, "one listener is wanted");
            say_ready(channel.as_raw_fd())?;
            end_with_primary();
            answer::accept_and_answer(listeners[0], &response)
        }
        Schedule::Sharded => {
            let listener = listener(options.listen, true)?;
            say_ready(channel.as_raw_fd())?;
            end_with_primary();
            answer::accept_and_answer(listener.as_raw_fd(), &response)
        }
    }
}

/// Takes connections from the channel and answers them.
fn take_and_answer(channel: RawFd, response: &[u8]) -> Result<()> {
    let taken = [0; DESCRIPTORS_MAX];
    let mut received = Receiver::new();
    loop {
        let connections = received.next(channel)?;
        if connections.is_empty() {
            return Ok(());
        }
        send(channel, &taken[..connections.len()], MsgFlags::MSG_NOSIGNAL)?;
        for connection in connections {
            answer::answer(connection, response)?;
        }
    }
}

fn say_ready(channel: RawFd) -> Result<()> {
    send(channel, &[0], MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

/// Ends this process when its channel does, whatever it is waiting for.
fn end_with_primary() {
    thread::spawn(|| {
        // However the channel ends, it has ended.
        io::stdin().read_to_end(&mut Vec::new()).ok();
        process::exit(0);
    });
}
