//! Connections that arrive in a worker.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_ipc::{SLIP_BYTES, Slip};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use crate::claim::{Claim, Claims};
use crate::cmsg;
use crate::limits::DESCRIPTORS_SPARE;

/// The worker's end of a passage: where an application takes the connections that the primary
/// hands over to one of its listeners.
///
/// It can be polled through [`AsFd`]: readable when there is a connection to
/// [receive](Self::receive). The primary has a copy of it: whoever polls it with epoll(7) takes it
/// out before closing it.
///
/// A connection belongs to the worker when it is received, and not before. What lies here when the
/// worker closes the listener, leaves or dies goes to another worker.
#[derive(Debug)]
pub struct Arrivals {
    outlet: OwnedFd,
    claims: Claims,
    /// With no more descriptors left than these, it is careful.
    spare: u64,
    /// How many may still be received before it is looked again how many descriptors are left.
    allowance: AtomicU64,
    /// One at a time, while descriptors are scarce.
    turn: Mutex<()>,
}

/// A connection: its socket, non-blocking, the address of the other end where it has one, and the
/// claim to it.
pub type Arrived = (OwnedFd, Option<SocketAddr>, Claim);

impl Arrivals {
    pub(crate) fn new(outlet: OwnedFd, claims: Claims) -> Self {
        let allowance = AtomicU64::new(0);
        Self { outlet, claims, spare: DESCRIPTORS_SPARE, allowance, turn: Mutex::new(()) }
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: there is none.
    /// - `NotConnected`: there will be none any more, for the primary is gone, or this worker is
    ///   leaving, and others get what is here.
    /// - `EMFILE`, `ENFILE`: this process has no descriptor left for it. The connection stays
    ///   where it is. Only if other threads suddenly use up all that are left, and
    ///   [`DESCRIPTORS_SPARE`] at least, it is lost.
    /// - Others of recvmsg(2).
    pub fn receive(&self) -> io::Result<Arrived> {
        let guard = self.claims.begin()?;
        let (slip, socket) = if self.has_room() { self.take() } else { self.take_carefully() }?;
        let claim = self.claims.claim_handed(guard, slip.peer);
        match socket {
            Some(socket) => Ok((socket, slip.peer, claim)),
            // It is lost. The primary believes that it was taken, and so hears of its end.
            None => Err(Errno::EMFILE.into()),
        }
    }

    fn take(&self) -> io::Result<(Slip, Option<OwnedFd>)> {
        let (slip, socket) = self.message(cmsg::receive)?;
        if socket.is_none() {
            self.allowance.store(0, Ordering::Relaxed);
        }
        Ok((slip, socket))
    }

    /// Whether there are more descriptors left than others may use up in the meantime. It is looked
    /// the less often the more there are.
    fn has_room(&self) -> bool {
        let less = |allowance: u64| allowance.checked_sub(1);
        if self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return true;
        }
        let left = descriptors_left().saturating_sub(self.spare);
        self.allowance.store(left / PART, Ordering::Relaxed);
        left > 0
    }

    /// Looks first whether there is a descriptor for it: a message that is received without room
    /// for its descriptor is gone (unix(7)).
    fn take_carefully(&self) -> io::Result<(Slip, Option<OwnedFd>)> {
        let _turn = self.turn.lock();
        let (slip, Some(socket)) = self.message(cmsg::peek)? else {
            return Err(Errno::EMFILE.into());
        };
        match self.message(cmsg::receive)? {
            (received, _) if received == slip => Ok((slip, Some(socket))),
            // The primary has taken the other one back in between.
            other => Ok(other),
        }
    }

    fn message(
        &self,
        receive: fn(BorrowedFd<'_>, &mut [u8], &mut Vec<OwnedFd>) -> io::Result<cmsg::Received>,
    ) -> io::Result<(Slip, Option<OwnedFd>)> {
        let mut bytes = [0; SLIP_BYTES];
        let mut sockets = Vec::new();
        let received = receive(self.outlet.as_fd(), &mut bytes, &mut sockets)?;
        match Slip::from_bytes(&bytes[..received.bytes]) {
            Some(slip) => Ok((slip, sockets.pop())),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outlet.as_fd()
    }
}

impl AsRawFd for Arrivals {
    fn as_raw_fd(&self) -> RawFd {
        self.outlet.as_raw_fd()
    }
}

/// How many descriptors this process may still open; none if that cannot be known.
fn descriptors_left() -> u64 {
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let open = match fs::metadata(OWN_DESCRIPTORS) {
        // Since Linux 6.2 (proc_pid_fd(5)).
        Ok(folder) if folder.len() > 0 => folder.len(),
        _ => fs::read_dir(OWN_DESCRIPTORS).map_or(most, |all| all.count() as u64),
    };
    most.saturating_sub(open)
}

/// This part of the descriptors that are left may be used up before it is looked again: each
/// connection may make its application open some, too.
const PART: u64 = 8;

const OWN_DESCRIPTORS: &str = "/proc/self/fd";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread;

    use cluster_core::{HandoffId, ListenerId};
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::activity::Activity;
    use crate::claim::Returner;
    use crate::host::handles::Handles;
    use crate::link::Flushed;
    use crate::passage::{Passage, TakenBack};

    /// What goes with the claims.
    struct Site {
        _poll: Poll,
        activity: Activity,
        claims: Claims,
    }

    impl Site {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            let activity = Activity::new(waker.clone());
            let (returner, _) = Returner::new(waker);
            let claims = Claims::new(ListenerId(1), activity.clone(), returner);
            Self { _poll: poll, activity, claims }
        }

        fn open(&self) -> (Passage, Arrivals) {
            let (passage, theirs) = Passage::open().unwrap();
            (passage, Arrivals::new(theirs, self.claims.clone()))
        }
    }

    /// Sends connections that tell these numbers, as their peers' ports do.
    fn send(passage: &mut Passage, handles: &mut Handles, numbers: impl Iterator<Item = u16>) {
        for number in numbers {
            let (ours, mut other) = UnixStream::pair().unwrap();
            other.write_all(&number.to_le_bytes()).unwrap();
            let name = handles.insert(ours.into()).name();
            let peer = Some(SocketAddr::from(([127, 0, 0, 1], number)));
            passage.push(Slip { handoff: HandoffId(number.into()), peer }, name);
        }
        assert_eq!(passage.flush(handles), Flushed::All);
    }

    fn told(socket: OwnedFd) -> u16 {
        let mut bytes = [0; 2];
        UnixStream::from(socket).read_exact(&mut bytes).unwrap();
        u16::from_le_bytes(bytes)
    }

    #[test]
    fn connections_are_received_in_their_order_each_with_its_peer() {
        let site = Site::new();
        let (mut passage, mut arrivals) = site.open();
        for spare in [DESCRIPTORS_SPARE, u64::MAX] {
            // With the most, it never believes that there are enough descriptors.
            arrivals.spare = spare;
            arrivals.allowance = AtomicU64::new(0);
            send(&mut passage, &mut Handles::default(), 1..4);
            for number in 1..4 {
                let (socket, peer, claim) = arrivals.receive().unwrap();
                assert_eq!(peer.unwrap().port(), number);
                assert_eq!(told(socket), number);
                assert_eq!(site.activity.count(), 1);
                drop(claim);
            }
            assert_eq!(arrivals.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(site.activity.count(), 0);
    }

    /// What is here when the worker begins to leave is for others; what was accepted just before
    /// is waited for.
    #[test]
    fn who_leaves_receives_nothing_more() {
        let site = Site::new();
        let (mut passage, arrivals) = site.open();
        let mut handles = Handles::default();
        send(&mut passage, &mut handles, 1..4);
        let (_, _, claim) = arrivals.receive().unwrap();
        site.activity.watch();
        assert_eq!(arrivals.receive().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(site.activity.count(), 1);
        drop(claim);
        assert_eq!((site.activity.count(), site.activity.take_ended()), (0, 1));
        let TakenBack { taken, rest } = passage.take_back(&mut handles);
        assert_eq!((taken, rest), (vec![HandoffId(1)], vec![HandoffId(2), HandoffId(3)]));
    }

    #[test]
    fn an_attempt_in_vain_is_no_end() {
        let site = Site::new();
        let (_passage, arrivals) = site.open();
        assert_eq!(arrivals.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((site.activity.count(), site.activity.take_ended()), (0, 0));
    }

    #[test]
    fn what_was_sent_before_the_end_is_received() {
        let site = Site::new();
        let (mut passage, arrivals) = site.open();
        send(&mut passage, &mut Handles::default(), 1..3);
        drop(passage);
        for number in 1..3 {
            assert_eq!(told(arrivals.receive().unwrap().0), number);
        }
        for _ in 0..2 {
            assert_eq!(arrivals.receive().unwrap_err().kind(), ErrorKind::NotConnected);
        }
    }

    /// Several threads accept, with and without care, and in the middle of that the primary takes
    /// back what is left.
    #[test]
    fn each_connection_is_received_once_or_taken_back() {
        let site = Site::new();
        for round in 0..200 {
            let (mut passage, mut arrivals) = site.open();
            arrivals.spare = if round % 2 == 0 { u64::MAX } else { arrivals.spare };
            let mut handles = Handles::default();
            send(&mut passage, &mut handles, 0..IN_A_ROUND);
            let receive_all = || {
                let mut numbers = Vec::new();
                while let Ok((socket, peer, _)) = arrivals.receive() {
                    let number = told(socket);
                    assert_eq!(peer.unwrap().port(), number);
                    numbers.push(number);
                }
                numbers
            };
            let (received, TakenBack { taken, rest }) = thread::scope(|scope| {
                let threads = [(); 2].map(|()| scope.spawn(receive_all));
                let back = passage.take_back(&mut handles);
                let received = threads.map(|it| it.join().unwrap()).concat();
                (received, back)
            });
            let mut all = BTreeSet::from_iter(received.iter().map(|it| u64::from(*it)));
            assert_eq!(all.len(), received.len(), "none twice");
            assert_eq!(all, taken.iter().map(|it| it.0).collect());
            all.extend(rest.iter().map(|it| it.0));
            assert_eq!(all.len(), received.len() + rest.len());
            assert_eq!(all, (0..IN_A_ROUND).map(u64::from).collect());
        }
        assert_eq!(site.activity.count(), 0);
    }

    const IN_A_ROUND: u16 = 40;
}
