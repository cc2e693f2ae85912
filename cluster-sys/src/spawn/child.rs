//! The fork, and what the child does until its exec.
//!
//! Between the two the child is a copy of one thread of a process that may have had others: any
//! lock may be held by a thread that is not here. So everything in [`run`] is a bare system call
//! (signal-safety(7)); nothing allocates, nothing panics, nothing is dropped.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use cluster_core::Pid;
use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};

use crate::process::Process;
use crate::signal::{Blocked, NUMBER_MAX};
use crate::spawn::plan::Plan;
use crate::spawn::{CHANNEL_FD, MESSAGE_SIZE, SpawnStage};

// s390x's clone(2) takes its arguments in another order; the setuid(2) of 32-bit machines takes 16 bits.
#[cfg(any(not(target_pointer_width = "64"), target_arch = "s390x"))]
compile_error!("the bare system calls of this file have another shape on this machine");

/// Makes a child that carries out `plan`.
///
/// It is clone(2) as fork(2) uses it, but the pidfd comes with it, so there is no moment in which
/// the child could end, be collected by somebody else and its number be used again, and no child
/// when there is no descriptor for it (`EMFILE`). Handlers of pthread_atfork(3) do not run: they
/// are for children that go on as this program.
pub(super) fn fork(plan: &Plan) -> io::Result<Process> {
    // No handler of this process may run in the child.
    let _blocked = Blocked::all()?;
    let mut pidfd: c_int = -1;
    // SAFETY: without CLONE_VM the child has its own copy of all memory and goes on with a copy of
    // this stack (null), as after fork. It calls `run` and nothing else. The kernel writes the
    // descriptor to `pidfd`, in the parent only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone,
            (libc::CLONE_PIDFD | libc::SIGCHLD) as c_long,
            ptr::null::<u8>(),
            &raw mut pidfd,
            ptr::null::<u8>(),
            ptr::null::<u8>(),
        )
    };
    match Errno::result(result)? {
        // SAFETY: this is the child.
        0 => unsafe { run(plan) },
        pid => {
            let pid = Pid(u32::try_from(pid).expect("the kernel's process numbers are positive"));
            // SAFETY: the kernel has just made it, and nobody else knows it.
            Ok(Process::new(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
    }
}

/// What the child writes when `stage` fails.
pub(super) fn message(stage: SpawnStage, errno: i32) -> [u8; MESSAGE_SIZE] {
    let [e0, e1, e2, e3] = errno.to_ne_bytes();
    [stage as u8, e0, e1, e2, e3]
}

/// Carries out the plan: becomes the program, or says why not and ends.
///
/// # Safety
///
/// Only in a child of [`fork`], with all signals blocked.
unsafe fn run(plan: &Plan) -> ! {
    let mut status = plan.status.as_raw_fd();
    // SAFETY: all pointers of the plan are valid: this is a copy of the memory they were made in.
    let (stage, errno) = unsafe {
        reset_dispositions();
        match place_descriptors(plan, &mut status) {
            Err(errno) => (SpawnStage::Stdio, errno),
            Ok(()) => match become_program(plan) {
                Err(failed) => failed,
                Ok(never) => match never {},
            },
        }
    };
    let message = message(stage, errno as i32);
    // SAFETY: `message` is as long as said. If the parent is gone, nobody is left to be told.
    unsafe {
        libc::write(status, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// Makes every disposition the default one. exec does so for handlers, but leaves ignored signals
/// ignored (signal(7)); Rust's runtime, for one, ignores `SIGPIPE`.
unsafe fn reset_dispositions() {
    // The kernel's `sigaction`, which is at most this big: SIG_DFL, no flags, empty mask.
    let default = [0_u64; 4];
    for signal in 1..=NUMBER_MAX {
        // By number, because the C library would not touch those that it uses itself. SIGKILL and
        // SIGSTOP fail and need no change.
        // SAFETY: `default` is a valid `sigaction` of the kernel; the last argument is the size of
        // its mask.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
    }
}

/// Puts stdio to 0, 1 and 2, the channel to 3 and the status pipe to 4, and closes all others.
/// `status` is where the status pipe is.
unsafe fn place_descriptors(plan: &Plan, status: &mut RawFd) -> Result<(), Errno> {
    // SAFETY: these calls take numbers only. No source is at one of the places (`out_of_the_way`),
    // so none is overwritten before it is copied; and what is closed belongs to values that this
    // process never drops.
    unsafe {
        for (place, source) in (0..).zip(&plan.stdio) {
            if let Some(source) = source {
                Errno::result(libc::dup2(source.as_raw_fd(), place))?;
            }
        }
        Errno::result(libc::dup2(plan.channel.as_raw_fd(), CHANNEL_FD.cast_signed()))?;
        Errno::result(libc::dup3(*status, STATUS_FD, libc::O_CLOEXEC))?;
        *status = STATUS_FD;
        let first = STATUS_FD + 1;
        if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) != 0 {
            for other in first..plan.fd_limit {
                libc::close(other);
            }
        }
    }
    Ok(())
}

/// Everything from the working directory to the exec. Returns only if something failed.
unsafe fn become_program(plan: &Plan) -> Result<Infallible, (SpawnStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    if let Some(cwd) = &plan.cwd {
        // SAFETY: a valid C string.
        Errno::result(unsafe { libc::chdir(cwd.as_ptr()) }).map_err(at(SpawnStage::Chdir))?;
    }
    if plan.batch {
        // Where it may not be changed, it is not.
        // SAFETY: a parameter of zeros is what this policy asks for, and it is only read.
        unsafe {
            let parameter = mem::zeroed::<libc::sched_param>();
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter);
        }
    }
    // SAFETY: takes numbers only.
    unsafe { become_identity(plan) }.map_err(at(SpawnStage::Identity))?;
    // SAFETY: `mask` is initialised by the first call. The dispositions are the default ones by
    // now, so what was pending acts as it would after the exec.
    unsafe {
        let mut mask = mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut mask);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut());
    }
    // SAFETY: as this function's.
    Err((SpawnStage::Exec, unsafe { exec(plan) }))
}

/// Drops the supplementary groups, then becomes the group, then the user.
unsafe fn become_identity(plan: &Plan) -> Result<(), Errno> {
    // Bare system calls: the C library's functions would try to change all threads that the parent
    // had.
    if plan.uid.is_some() || plan.gid.is_some() {
        // As well as we may: a process without privileges that keeps its own uid is no error (libuv
        // does the same).
        // SAFETY: an empty list.
        unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) };
    }
    if let Some(gid) = plan.gid {
        // SAFETY: takes a number only.
        Errno::result(unsafe { libc::syscall(libc::SYS_setgid, gid) })?;
    }
    if let Some(uid) = plan.uid {
        // SAFETY: takes a number only.
        Errno::result(unsafe { libc::syscall(libc::SYS_setuid, uid) })?;
    }
    Ok(())
}

/// Tries all candidates as execvp(3) does; answers why none was executed.
unsafe fn exec(plan: &Plan) -> Errno {
    let mut denied = false;
    let mut last = Errno::ENOENT;
    for file in &plan.candidates {
        last = exec_one(file, plan);
        match last {
            Errno::EACCES => denied = true,
            Errno::ENOENT | Errno::ENOTDIR => {}
            _ => return last,
        }
    }
    if denied { Errno::EACCES } else { last }
}

fn exec_one(file: &CStr, plan: &Plan) -> Errno {
    // SAFETY: `file` is a C string, and both arrays hold C strings and end with null (`Strings`).
    unsafe { libc::execve(file.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr()) };
    Errno::last()
}

/// Where the child keeps the status pipe until its exec.
const STATUS_FD: RawFd = CHANNEL_FD.cast_signed() + 1;
