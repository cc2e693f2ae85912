//! The primary: the same command line and the same lines as the examples.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};

use super::{answer, descriptors, handoff};

const BACKLOG: i32 = 1024;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long)]
    workers: usize,
    #[arg(long)]
    schedule: Schedule,
    /// Send as many descriptors a message as there are.
    #[arg(long)]
    batch: bool,
}

/// How connections come to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Schedule {
    /// The primary accepts and hands over
    Rr,
    /// All accept from one socket
    None,
    /// Each accepts from a socket of its own at the same address
    Sharded,
}

impl Schedule {
    fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::None => "none",
            Self::Sharded => "sharded",
        }
    }
}

/// Serves until it is killed.
pub(super) fn run(options: &Options) -> Result<()> {
    if options.workers == 0 {
        let listener = listener(options.listen, false)?;
        let response = answer::response(&format!("single pid {}\n", std::process::id()));
        return answer::accept_and_answer(listener.as_raw_fd(), &response);
    }
    println!("primary {}", std::process::id());
    let listener = match options.schedule {
        Schedule::Sharded => None,
        _ => Some(TcpListener::from(listener(options.listen, false)?)),
    };
    let mut workers = Vec::new();
    for id in 1..=options.workers {
        workers.push(start(id, options, listener.as_ref())?);
    }
    match (options.schedule, &listener) {
        (Schedule::Rr, Some(listener)) => handoff::run(listener, &workers, options.batch),
        // The workers do all the work; this process is there to be ended.
        _ => workers[0].read_to_end(&mut Vec::new()).map(drop).context("a worker's channel"),
    }
}

/// A listening socket at `address`, alone there or not.
pub(super) fn listener(address: SocketAddrV4, shared: bool) -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &shared)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    listen(&socket, nix::sys::socket::Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

/// Starts worker `id` and waits until it is ready.
fn start(id: usize, options: &Options, listener: Option<&TcpListener>) -> Result<UnixStream> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .args(["bench-raw", "worker", "--id", &id.to_string()])
        .args(["--listen", &options.listen.to_string()])
        .args(["--schedule", options.schedule.name()])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    if let (Schedule::None, Some(listener)) = (options.schedule, listener) {
        descriptors::send(ours.as_raw_fd(), &[listener.as_raw_fd()])?;
    }
    println!("fork {id} {}", child.id());
    ours.read_exact(&mut [0]).with_context(|| format!("worker {id} does not come up"))?;
    println!("online {id}\nlistening {id} {}", options.listen);
    std::io::stdout().flush()?;
    Ok(ours)
}
