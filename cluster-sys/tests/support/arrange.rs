//! Unusual states of this process's descriptors. Only for a process `alone`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::support::descriptors;

/// Descriptors that are not close-on-exec, low and high.
pub(crate) fn leak_descriptors() -> Vec<OwnedFd> {
    let file = fs::File::open("/dev/null").unwrap();
    let from = [3, 4, 5, 9, 10, 11, 100, 1000];
    let leaks = from.map(|from| fcntl(&file, FcntlArg::F_DUPFD(from)).unwrap());
    // SAFETY: fcntl has just made them.
    leaks.into_iter().map(|leak| unsafe { OwnedFd::from_raw_fd(leak) }).collect()
}

/// A copy of a descriptor, out of the way.
pub(crate) fn move_up(at: i32) -> OwnedFd {
    // SAFETY: 0, 1 and 2 are open in every test.
    let fd = unsafe { BorrowedFd::borrow_raw(at) };
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(100)).unwrap();
    // SAFETY: fcntl has just made it.
    unsafe { OwnedFd::from_raw_fd(copy) }
}

pub(crate) fn put_back(saved: &OwnedFd, at: i32) {
    // SAFETY: whatever is at this number belongs to this test.
    assert_eq!(unsafe { libc::dup2(saved.as_raw_fd(), at) }, at);
}

pub(crate) fn close(at: i32) {
    // SAFETY: one of 0, 1 and 2, which are put back later.
    unsafe { libc::close(at) };
}

/// Something at this number, not close-on-exec, if nothing is there.
pub(crate) fn fill(at: i32) -> Option<OwnedFd> {
    if descriptors().contains_key(&at) {
        return None;
    }
    let file = fs::File::open("/dev/zero").unwrap();
    // SAFETY: nothing was there; if `file` itself is, it is made inheritable and given up.
    unsafe {
        if file.as_fd().as_raw_fd() == at {
            let fd = file.into_raw_fd();
            libc::fcntl(fd, libc::F_SETFD, 0);
            return Some(OwnedFd::from_raw_fd(fd));
        }
        libc::dup2(file.as_raw_fd(), at);
        Some(OwnedFd::from_raw_fd(at))
    }
}

/// Gives this process a network of its own, in which there are only two ports to be chosen.
pub(crate) fn have_two_ports() -> io::Result<()> {
    // SAFETY: unshare takes a number, and touches nothing of this process's memory.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001")
}

/// From now on close_range(2) does not exist for this process and its children.
pub(crate) fn refuse_close_range() {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_close_range as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter is a valid program, which the kernel copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter),
            0
        );
        assert_eq!(libc::syscall(libc::SYS_close_range, 1000, 1000, 0), -1);
    }
}
