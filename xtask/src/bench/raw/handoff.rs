//! An accepting parent that hands connections over.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, recv};
use nix::unistd::close;

use super::descriptors::send;

/// Connections that are accepted in one turn.
const TURN: usize = 16;

/// Wake-ups that are fetched at a time.
const EVENTS: usize = 16;

/// The event of the listener; workers have those above.
const LISTENER: u64 = 0;

/// Hands connections to `workers` in turn, one a message, or with `batch` all of a turn that are
/// for the same worker. Copies are kept until the worker says that it has them.
pub(super) fn run(listener: &TcpListener, workers: &[UnixStream], batch: bool) -> Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    for (data, worker) in (LISTENER + 1..).zip(workers) {
        epoll.add(worker, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
    }
    let mut workers: Vec<_> = workers.iter().map(Worker::new).collect();
    let mut next = 0;
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        for event in &events[..count] {
            match event.data() {
                LISTENER => accept(listener, &mut workers, &mut next, batch)?,
                data => workers[(data - LISTENER - 1) as usize].release()?,
            }
        }
    }
}

/// Accepts what is there, within bounds, and hands it over.
fn accept(
    listener: &TcpListener,
    workers: &mut [Worker],
    next: &mut usize,
    batch: bool,
) -> Result<()> {
    for _ in 0..TURN {
        let connection = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(connection) => connection,
            Err(Errno::EAGAIN) => break,
            Err(Errno::ECONNABORTED | Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let turn = *next;
        *next = (turn + 1) % workers.len();
        let worker = &mut workers[turn];
        worker.fresh.push(connection);
        if !batch {
            worker.hand_over()?;
        }
    }
    workers.iter_mut().filter(|worker| !worker.fresh.is_empty()).try_for_each(Worker::hand_over)
}

struct Worker {
    channel: RawFd,
    /// Accepted for it, and not yet sent.
    fresh: Vec<RawFd>,
    /// Sent, and not yet taken.
    kept: VecDeque<RawFd>,
}

impl Worker {
    fn new(channel: &UnixStream) -> Self {
        Self { channel: channel.as_raw_fd(), fresh: Vec::new(), kept: VecDeque::new() }
    }

    fn hand_over(&mut self) -> Result<()> {
        send(self.channel, &self.fresh)?;
        self.kept.extend(self.fresh.drain(..));
        Ok(())
    }

    /// Lets go of what the worker has taken: one for each byte.
    fn release(&mut self) -> Result<()> {
        let mut taken = [0; 256];
        let count = match recv(self.channel, &mut taken, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => bail!("a worker has ended"),
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            result => result?,
        };
        self.kept.drain(..count).try_for_each(close)?;
        Ok(())
    }
}
