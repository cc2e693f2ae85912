//! sendmsg(2) and recvmsg(2) with descriptors (`SCM_RIGHTS`), by hand.
//!
//! By hand, because nix forgets (so leaks) the descriptors of a receive whose control messages
//! were truncated, and that happens whenever this process runs out of descriptors.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use crate::channel::HANDLES_MAX;

/// What one receive brought besides descriptors.
pub(crate) struct Received {
    /// How many bytes.
    pub(crate) bytes: usize,
    /// Whether descriptors were lost.
    pub(crate) truncated: bool,
}

/// One sendmsg(2) with `MSG_NOSIGNAL`, repeated while signals interrupt it.
///
/// There must be a byte to send, and no more than [`HANDLES_MAX`] handles.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    handles: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut control = Control::new();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = empty_message(&mut part);
    if !handles.is_empty() {
        control.attach(&mut message, handles);
    }
    retry(|| {
        // SAFETY: `message` points to `part` and `control`, which outlive the call, and `part`
        // to `bytes`, which sendmsg only reads.
        unsafe {
            libc::sendmsg(
                socket.as_raw_fd(),
                &raw const message,
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        }
    })
}

/// One recvmsg(2) with `MSG_CMSG_CLOEXEC`, repeated while signals interrupt it.
///
/// Every descriptor that arrived is appended to `handles`, also when others were lost.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    handles: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    receive_with(socket, buffer, handles, 0)
}

/// As [`receive`], but that the message stays where it is, too (`MSG_PEEK`): each descriptor is a
/// further copy.
pub(crate) fn peek(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    handles: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    receive_with(socket, buffer, handles, libc::MSG_PEEK)
}

/// How many bytes wait to be received, in all messages (unix(7): `SIOCINQ`). Receiving waits for
/// others who receive from the same socket, even where it does not block; this does not.
pub(crate) fn queued(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one number, to where there is room for it.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    handles: &mut Vec<OwnedFd>,
    flags: libc::c_int,
) -> io::Result<Received> {
    let mut control = Control::new();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = empty_message(&mut part);
    message.msg_control = control.bytes.as_mut_ptr().cast();
    message.msg_controllen = control.bytes.len() as _;
    let bytes = retry(|| {
        // SAFETY: `message` points to `part` and `control`, which outlive the call, and `part`
        // to `buffer`, which is ours alone; their lengths are the true ones.
        unsafe {
            libc::recvmsg(
                socket.as_raw_fd(),
                &raw mut message,
                libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT | flags,
            )
        }
    })?;
    // SAFETY: the kernel has just filled `message` and the control buffer behind it, and
    // nobody has taken its descriptors yet.
    unsafe { take_handles(&message, handles) };
    Ok(Received { bytes, truncated: message.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// Room for one control message with [`HANDLES_MAX`] descriptors, aligned as a `cmsghdr`.
#[repr(C)]
struct Control {
    aligned: [libc::cmsghdr; 0],
    bytes: [u8; CONTROL_SPACE],
}

impl Control {
    const fn new() -> Self {
        Self { aligned: [], bytes: [0; CONTROL_SPACE] }
    }

    /// Writes one `SCM_RIGHTS` message with `handles` and makes `message` carry it.
    fn attach(&mut self, message: &mut libc::msghdr, handles: &[BorrowedFd<'_>]) {
        assert!(handles.len() <= HANDLES_MAX, "the caller checks the number of handles");
        let size = size_of_val(handles) as libc::c_uint;
        message.msg_control = self.bytes.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE is arithmetic.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
        // SAFETY: the buffer is aligned as a `cmsghdr` (field `aligned`) and holds CMSG_SPACE of
        // HANDLES_MAX descriptors, which are at least as many as `handles`, so the header and all
        // descriptors are inside it. `BorrowedFd` is `repr(transparent)` over `RawFd`.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            let data = libc::CMSG_DATA(header);
            ptr::copy_nonoverlapping(handles.as_ptr().cast::<u8>(), data, size as usize);
        }
    }
}

/// Takes every descriptor of every `SCM_RIGHTS` message, and closes those that nobody asked for:
/// whoever shares the socket can have the kernel add one (socket(7): `SO_PASSPIDFD`).
///
/// # Safety
///
/// `message` is as recvmsg(2) left it, and this is called once for it.
unsafe fn take_handles(message: &libc::msghdr, handles: &mut Vec<OwnedFd>) {
    // SAFETY: the kernel wrote well-formed headers, each of them whole within msg_controllen, and
    // these macros stay within that.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: as above; null is the end.
    while let Some(header) = unsafe { next.as_ref() } {
        let wanted = header.cmsg_type == libc::SCM_RIGHTS;
        if header.cmsg_level == libc::SOL_SOCKET && (wanted || header.cmsg_type == SCM_PIDFD) {
            // SAFETY: CMSG_LEN is arithmetic.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "musl's cmsg_len is a socklen_t")]
            let count = (header.cmsg_len as usize).saturating_sub(head) / size_of::<RawFd>();
            // SAFETY: the data follow their header.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            // SAFETY: cmsg_len says that `count` numbers are here.
            let numbers = (0..count).map(|at| unsafe { data.add(at).read_unaligned() });
            // The kernel may say why it has no descriptor of a process instead.
            let received = numbers.filter(|number| *number >= 0).map(|number| {
                // SAFETY: it is open, and nobody else knows it: the kernel made it for this receive.
                unsafe { OwnedFd::from_raw_fd(number) }
            });
            match wanted {
                true => handles.extend(received),
                false => received.for_each(drop),
            }
        }
        // SAFETY: as for the first header.
        next = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
}

/// A message of one part, without address and control data.
fn empty_message(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a `msghdr` of null pointers and zeros is an empty one (the type has private padding
    // on some platforms, so it cannot be written out).
    let mut message = unsafe { mem::zeroed::<libc::msghdr>() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}

fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match Errno::result(call()) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(count) => return Ok(count.cast_unsigned()),
        }
    }
}

/// Since Linux 6.5.
const SCM_PIDFD: libc::c_int = 4;

// SAFETY: CMSG_SPACE is arithmetic.
const CONTROL_SPACE: usize =
    unsafe { libc::CMSG_SPACE((HANDLES_MAX * size_of::<RawFd>()) as libc::c_uint) } as usize;
