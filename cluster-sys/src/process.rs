//! A child process, held by its pidfd.
//!
//! Learning of an end and collecting it are two steps: the descriptor becomes readable when the
//! process has ended, and [`Process::reap`] then collects that one process. Other people's
//! children are never waited for.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use cluster_core::{ExitStatus, Pid, Signal};
use nix::errno::Errno;
use nix::libc;

use crate::signal;

/// A child process of this one. It can be polled through [`AsFd`]: readable when it has ended
/// (pidfd_open(2)).
///
/// Dropping it neither ends nor collects the process.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    pub(crate) const fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// Its process number. Good for messages; for signals use [`kill`](Self::kill), which cannot
    /// hit another process that got the same number later.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal (pidfd_send_signal(2)). One that has ended already needs none: `Ok`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a signal this system does not have, `EPERM` for a process that has
    /// become another user's.
    pub fn kill(&self, signal: Signal) -> io::Result<()> {
        let number = signal::checked(signal)?;
        // SAFETY: the descriptor is open, and without siginfo (null) the call reads no memory.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                number,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Collects the process if it has ended (waitid(2) with `WNOHANG`), so that no zombie
    /// remains; `None` if it still runs.
    ///
    /// When its status went to somebody else (the application ignores `SIGCHLD`, or waited for
    /// it), the answer is [`ExitStatus::Lost`]. The same is the answer of every later call.
    ///
    /// # Errors
    ///
    /// Those of waitid(2) other than `ECHILD`; none is known to happen.
    pub fn reap(&self) -> io::Result<Option<ExitStatus>> {
        self.wait(libc::WEXITED | libc::WNOHANG)
    }

    /// Waits until it has ended, then collects it. Only for a process that is about to end.
    pub(crate) fn reap_blocking(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait(libc::WEXITED)? {
                return Ok(status);
            }
        }
    }

    fn wait(&self, options: libc::c_int) -> io::Result<Option<ExitStatus>> {
        loop {
            // SAFETY: a `siginfo_t` of zeros is a valid one.
            let mut info = unsafe { mem::zeroed::<libc::siginfo_t>() };
            let pidfd = self.pidfd.as_raw_fd().cast_unsigned();
            // SAFETY: the descriptor is open, and `info` is ours to be written.
            let result = unsafe { libc::waitid(libc::P_PIDFD, pidfd, &raw mut info, options) };
            return match Errno::result(result) {
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => Ok(Some(ExitStatus::Lost)),
                Err(errno) => Err(errno.into()),
                // SAFETY: waitid has filled `info` for a child (signal SIGCHLD), or left its zeros.
                Ok(_) => Ok(match unsafe { (info.si_pid(), info.si_status()) } {
                    (0, _) => None,
                    (_, status) => Some(decode(info.si_code, status)),
                }),
            };
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// What waitid(2) says in `si_code` and `si_status`.
fn decode(code: i32, status: i32) -> ExitStatus {
    match code {
        libc::CLD_KILLED | libc::CLD_DUMPED => ExitStatus::Signal {
            signal: signal::from_number(status),
            core_dumped: code == libc::CLD_DUMPED,
        },
        _ => ExitStatus::Code(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_decoded() {
        let killed = |signal, core_dumped| ExitStatus::Signal { signal, core_dumped };
        assert_eq!(decode(libc::CLD_EXITED, 0), ExitStatus::Code(0));
        assert_eq!(decode(libc::CLD_EXITED, 255), ExitStatus::Code(255));
        assert_eq!(decode(libc::CLD_KILLED, 9), killed(Signal::KILL, false));
        assert_eq!(decode(libc::CLD_DUMPED, 6), killed(Signal::Named("SIGABRT"), true));
        assert_eq!(decode(libc::CLD_KILLED, 40), killed(Signal::Numbered(40), false));
    }
}
