//! How a worker knows that it is one.
//!
//! The primary puts [`VARIABLE`] into the environment of each worker. The environment is
//! inherited further, by the worker's own children, and the number of a descriptor alone says
//! nothing about what it is there. So the variable also names the device and inode of the
//! channel, and only a process that finds this very socket at that number is invited (as
//! systemd's `JOURNAL_STREAM` does, systemd.exec(5)).

use std::env;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster_core::WorkerId;
use cluster_ipc::Encoding;
use nix::errno::Errno;
use nix::libc;

use crate::channel::Channel;

/// The environment variable that invites a process to be a worker.
pub const VARIABLE: &str = "CLUSTER_WORKER";

/// An invitation to be a worker, found in this process's environment and true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    worker: WorkerId,
    encoding: Encoding,
    fd: RawFd,
    socket: SocketId,
}

impl Invitation {
    /// The value of [`VARIABLE`] for a worker that will find `channel` at descriptor
    /// `fd_in_child`: `ID:FD:DEV:INO:ENCODING`.
    ///
    /// # Errors
    ///
    /// Those of fstat(2), and `InvalidInput` if `channel` is not a socket.
    pub fn text(
        worker: WorkerId,
        channel: BorrowedFd<'_>,
        fd_in_child: u32,
        encoding: Encoding,
    ) -> io::Result<String> {
        let SocketId { device, inode } = SocketId::of(channel.as_raw_fd())?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a worker's channel is a socket")
        })?;
        let encoding = match encoding {
            Encoding::Postcard => POSTCARD,
            Encoding::Json => JSON,
        };
        Ok(format!("{worker}:{fd_in_child}:{device}:{inode}:{encoding}"))
    }

    /// The invitation in this process's environment.
    ///
    /// `None` when this is no worker: the variable is absent, or what it names is not here
    /// (the descriptor is closed, or is another file: then the variable was inherited from a
    /// worker). The environment stays as it is.
    ///
    /// # Errors
    ///
    /// [`InvitationError`] when the variable is there and is not an invitation at all.
    pub fn from_environment() -> Result<Option<Self>, InvitationError> {
        let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
        let text =
            text.into_string().map_err(|text| InvitationError(text.to_string_lossy().into()))?;
        let invitation: Self = text.parse()?;
        Ok(invitation.is_true().then_some(invitation))
    }

    /// Which worker this process is.
    pub const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// How the payloads of messages are encoded.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Takes the channel over: close-on-exec and non-blocking from now on.
    ///
    /// Until then the channel is inherited by whatever this process executes, so take it early.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: it was taken over before. That is possible once in a process.
    /// - `NotFound`: the channel was closed since the invitation was read.
    /// - Those of fcntl(2).
    pub fn adopt(self) -> io::Result<Channel> {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "this process has taken its channel over already",
            ));
        }
        if !self.is_true() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the channel that this worker was invited to is gone",
            ));
        }
        // SAFETY: the descriptor is open. It was made for this process by its primary, as its
        // device and inode prove, so no code of this process can own it yet but through this
        // function, and `TAKEN` lets only one caller come here.
        Channel::adopt(unsafe { OwnedFd::from_raw_fd(self.fd) })
    }

    /// Whether the socket that it names is here.
    fn is_true(&self) -> bool {
        matches!(SocketId::of(self.fd), Ok(Some(found)) if found == self.socket)
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    /// Reads the text, whether it is true for this process or not.
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        parse(text).ok_or_else(|| InvitationError(text.to_owned()))
    }
}

/// The environment variable for workers holds something that is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} is no invitation of a worker: {0:?}")]
pub struct InvitationError(pub String);

/// Which socket: fstat(2)'s `st_dev` and `st_ino`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SocketId {
    device: u64,
    inode: u64,
}

impl SocketId {
    /// The socket at a descriptor of this process; `None` if it is not a socket.
    fn of(fd: RawFd) -> io::Result<Option<Self>> {
        // SAFETY: a `stat` of zeros is a valid one.
        let mut found = unsafe { mem::zeroed::<libc::stat>() };
        // SAFETY: `found` is ours to be written. The number may be one of no descriptor: that is
        // the question, and the answer is EBADF.
        Errno::result(unsafe { libc::fstat(fd, &raw mut found) })?;
        let is_socket = found.st_mode & libc::S_IFMT == libc::S_IFSOCK;
        Ok(is_socket.then_some(Self { device: found.st_dev, inode: found.st_ino }))
    }
}

fn parse(text: &str) -> Option<Invitation> {
    let mut fields = text.split(':');
    let worker = WorkerId::new(decimal(fields.next()?)?)?;
    let fd = decimal(fields.next()?)?;
    let socket = SocketId { device: decimal(fields.next()?)?, inode: decimal(fields.next()?)? };
    let encoding = match fields.next()? {
        POSTCARD => Encoding::Postcard,
        JSON => Encoding::Json,
        _ => return None,
    };
    fields.next().is_none().then_some(Invitation { worker, encoding, fd, socket })
}

/// A decimal number without a sign, which `parse` alone would allow.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The names of the encodings in an invitation.
const POSTCARD: &str = "postcard";
const JSON: &str = "json";

/// Whether this process has taken its channel over.
static TAKEN: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_the_primary_writes_the_worker_reads() {
        let (_ours, theirs) = Channel::pair().unwrap();
        let worker = WorkerId::new(7).unwrap();
        for encoding in [Encoding::Postcard, Encoding::Json] {
            let text = Invitation::text(worker, theirs.as_fd(), 3, encoding).unwrap();
            let read: Invitation = text.parse().unwrap();
            assert_eq!((read.worker(), read.encoding(), read.fd), (worker, encoding, 3));
            assert_eq!(read.socket, SocketId::of(theirs.as_raw_fd()).unwrap().unwrap());
        }
    }

    #[test]
    fn only_a_socket_can_be_the_channel() {
        let file = File::open("/dev/null").unwrap();
        let worker = WorkerId::new(1).unwrap();
        let error = Invitation::text(worker, file.as_fd(), 3, Encoding::Json).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_invitation_is_true_only_at_its_own_socket() {
        let (_ours, theirs) = Channel::pair().unwrap();
        let (_other, another) = Channel::pair().unwrap();
        let socket = SocketId::of(theirs.as_raw_fd()).unwrap().unwrap();
        let worker = WorkerId::new(1).unwrap();
        let at = |fd| Invitation { worker, encoding: Encoding::Json, fd, socket };
        assert!(at(theirs.as_raw_fd()).is_true());
        assert!(!at(another.as_raw_fd()).is_true());
        assert!(!at(RawFd::MAX).is_true());
    }

    #[test]
    fn malformed_texts_are_errors_with_the_text() {
        for text in [
            "",
            "1",
            "1:3:8:99",
            "1:3:8:99:json:",
            "1:3:8:99:JSON",
            "0:3:8:99:json",
            "-1:3:8:99:json",
            "+1:3:8:99:json",
            "1:-3:8:99:json",
            "1:2147483648:8:99:json",
            "1:3: 8:99:json",
            "1:3:8::json",
            "4294967296:3:8:99:json",
        ] {
            assert_eq!(text.parse::<Invitation>(), Err(InvitationError(text.to_owned())));
        }
        assert!("1:3:8:99:json".parse::<Invitation>().is_ok());
    }
}
