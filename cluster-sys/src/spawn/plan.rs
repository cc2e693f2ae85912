//! Everything that a child needs, allocated and opened before the fork.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc::{self, c_char};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use crate::spawn::{Program, Stdio};

/// What the child executes after the fork, without allocating.
pub(super) struct Plan {
    /// The files to try, in this order.
    pub(super) candidates: Vec<CString>,
    pub(super) argv: Strings,
    pub(super) envp: Strings,
    pub(super) cwd: Option<CString>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) batch: bool,
    /// What goes to 0, 1 and 2; `None` stays as it is. This and the next two are out of the way
    /// of all places that they go to.
    pub(super) stdio: Three,
    pub(super) channel: OwnedFd,
    /// Where the child says what failed.
    pub(super) status: OwnedFd,
    /// The first descriptor number that cannot be open.
    pub(super) fd_limit: i32,
}

/// For stdin, stdout and stderr.
pub(super) type Three = [Option<OwnedFd>; 3];

/// A plan, and our ends of what the child will have.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    /// Of stdin, stdout and stderr.
    pub(super) ours: Three,
    pub(super) status: File,
}

impl Plan {
    pub(super) fn prepare(
        program: &Program,
        channel: OwnedFd,
        extra_env: &[(&str, String)],
    ) -> io::Result<Prepared> {
        let env = environment(program, extra_env)?;
        let argv = [&program.argv0].into_iter().chain(&program.args);
        let (status, status_of_child) = pipe2(OFlag::O_CLOEXEC)?;
        set_nonblocking(&status)?;
        let (stdio, ours) = prepare_stdio(&program.stdio)?;
        let plan = Self {
            candidates: candidates(program.exec.as_os_str(), env.get(OsStr::new("PATH")))?,
            argv: Strings::new(argv.map(|arg| c_string(arg)).collect::<Result<_, _>>()?),
            envp: Strings::new(env.iter().map(assignment).collect::<Result<_, _>>()?),
            cwd: program.cwd.as_ref().map(|cwd| c_string(cwd.as_os_str())).transpose()?,
            uid: program.uid,
            gid: program.gid,
            batch: program.batch,
            stdio,
            channel: out_of_the_way(channel)?,
            status: out_of_the_way(status_of_child)?,
            fd_limit: fd_limit()?,
        };
        Ok(Prepared { plan, ours, status: status.into() })
    }
}

/// Strings for execve(2): their pointers, ended by a null.
pub(super) struct Strings {
    pointers: Vec<*const c_char>,
    /// What the pointers point to. Moving this moves no string.
    _strings: Vec<CString>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// This process's environment with the program's changes, then the extra ones.
fn environment(
    program: &Program,
    extra: &[(&str, String)],
) -> io::Result<BTreeMap<OsString, OsString>> {
    let mut env: BTreeMap<OsString, OsString> = env::vars_os().collect();
    for (name, value) in &program.env {
        // With these in it, the child would see another variable than was meant.
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(invalid("the name of an environment variable is empty or contains '='"));
        }
        match value {
            Some(value) => env.insert(name.clone(), value.clone()),
            None => env.remove(name),
        };
    }
    env.extend(extra.iter().map(|(name, value)| (name.into(), value.into())));
    Ok(env)
}

/// `NAME=VALUE`.
fn assignment((name, value): (&OsString, &OsString)) -> io::Result<CString> {
    c_string(&[name.as_os_str(), value.as_os_str()].join(OsStr::new("=")))
}

/// The files that execvp(3) would try for `exec`. The child tries them itself, because only it has
/// the identity and the working directory that decide.
fn candidates(exec: &OsStr, path: Option<&OsString>) -> io::Result<Vec<CString>> {
    let name = exec.as_bytes();
    if name.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if name.contains(&b'/') {
        return Ok(vec![c_string(exec)?]);
    }
    let path = path.map_or(PATH_DEFAULT, |path| path.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|directory| {
            let directory: &[u8] = if directory.is_empty() { b"." } else { directory };
            c_string(OsStr::from_bytes(&[directory, name].join(&b'/')))
        })
        .collect()
}

/// For each of stdin, stdout and stderr: the child's end, and ours.
fn prepare_stdio(stdio: &[Stdio; 3]) -> io::Result<(Three, Three)> {
    let mut theirs = [None, None, None];
    let mut ours = [None, None, None];
    for (at, stdio) in stdio.iter().enumerate() {
        match stdio {
            Stdio::Inherit => {}
            Stdio::Null => {
                let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
                theirs[at] = Some(out_of_the_way(null)?);
            }
            Stdio::Piped => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                let (their, our) = if at == 0 { (read, write) } else { (write, read) };
                set_nonblocking(&our)?;
                theirs[at] = Some(out_of_the_way(their)?);
                ours[at] = Some(our);
            }
        }
    }
    Ok((theirs, ours))
}

/// Moves a descriptor away from the low numbers, where the child's own ones will be: one that sat
/// there would be overwritten before it was copied itself, or copied onto itself and stay
/// close-on-exec (see rust-lang/rust#145687).
fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FD_FREE {
        return Ok(fd);
    }
    let moved = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(FD_FREE))?;
    // SAFETY: fcntl has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// For kernels that refuse close_range(2) (a seccomp filter): how far to close one by one.
fn fd_limit() -> io::Result<i32> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(i32::try_from(soft).unwrap_or(i32::MAX).min(FD_LIMIT_MAX))
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.to_owned().into_vec())
        .map_err(|_| invalid("a string for a program contains a NUL byte"))
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Where execvp(3) searches without `PATH`.
const PATH_DEFAULT: &[u8] = b"/bin:/usr/bin";

/// Descriptors from here on are none of the child's own.
const FD_FREE: libc::c_int = 10;

/// The kernel's own default limit (`fs.nr_open`).
const FD_LIMIT_MAX: i32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_not_searched() {
        let path = OsString::from("/a:/b");
        assert_eq!(candidates("./x".as_ref(), Some(&path)).unwrap(), [c"./x".to_owned()]);
        assert_eq!(candidates("/x".as_ref(), Some(&path)).unwrap(), [c"/x".to_owned()]);
    }

    #[test]
    fn a_name_without_a_slash_is_searched_in_path() {
        let path = OsString::from("/a::b/");
        let expected = [c"/a/x".to_owned(), c"./x".to_owned(), c"b//x".to_owned()];
        assert_eq!(candidates("x".as_ref(), Some(&path)).unwrap(), expected);
        let expected = [c"/bin/x".to_owned(), c"/usr/bin/x".to_owned()];
        assert_eq!(candidates("x".as_ref(), None).unwrap(), expected);
        let error = candidates("".as_ref(), Some(&path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_environment_is_ours_then_the_programs_then_the_extra() {
        let mut program = Program::new("x");
        program.env = vec![
            ("CLUSTER_TEST_A".into(), Some("1".into())),
            ("CLUSTER_TEST_B".into(), Some("1".into())),
            ("PATH".into(), None),
        ];
        let env = environment(&program, &[("CLUSTER_TEST_B", "2".into())]).unwrap();
        assert_eq!(env.get(OsStr::new("CLUSTER_TEST_A")), Some(&"1".into()));
        assert_eq!(env.get(OsStr::new("CLUSTER_TEST_B")), Some(&"2".into()));
        assert_eq!(env.get(OsStr::new("PATH")), None);
        assert_eq!(env.get(OsStr::new("CARGO_PKG_NAME")), Some(&"cluster-sys".into()));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in ["", "A=B", "A\0B"] {
            let mut program = Program::new("x");
            program.env = vec![(name.into(), Some("1".into()))];
            let (_ours, channel) = crate::channel::Channel::pair().unwrap();
            let error = program.spawn(channel, &[]).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }
}
