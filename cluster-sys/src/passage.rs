//! The way of connections from the primary to one worker's listener.
//!
//! ```text
//!             primary                │              worker
//!   push ──▶ inlet ═════════ a queue in the kernel ════════ outlet ──▶ Arrivals::receive
//!                       ◀── a copy of the outlet: look, take_back
//! ```
//!
//! A passage is a pair of `SOCK_SEQPACKET` sockets (unix(7)). Each message is a slip with one
//! descriptor, and whoever receives it, the worker's application or the primary, has it alone: the
//! kernel gives no message out twice. So nobody has to say that a connection is taken: what is no
//! longer in the queue is. And what a worker has left there when it ends goes to another.
//!
//! A message carries one descriptor, no more, because each connection must be there to be taken,
//! and to be taken back, alone: of several in one message, whoever receives the first has them
//! all. (What they would save, row g of the bench shows: some 3 µs of processor time a descriptor,
//! both sides together, if there are four in a message instead of one.)

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cluster_core::{HandleName, HandoffId};
use cluster_ipc::{SLIP_BYTES, Slip};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::cmsg;
use crate::host::handles::Handles;
use crate::link::Flushed;

/// The primary's side.
#[derive(Debug)]
pub(crate) struct Passage {
    inlet: OwnedFd,
    /// A copy of the worker's end.
    outlet: OwnedFd,
    /// To be sent: their descriptors are in the table.
    outside: VecDeque<(Slip, HandleName)>,
    /// Sent, and not known to be taken: their descriptors are in the queue, or gone.
    inside: VecDeque<(HandoffId, HandleName)>,
}

/// What became of the connections of a passage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TakenBack {
    /// The worker has them.
    pub(crate) taken: Vec<HandoffId>,
    /// Their descriptors are in the table again.
    pub(crate) rest: Vec<HandoffId>,
}

impl Passage {
    /// Opens a passage, and gives the worker's end.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (inlet, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let outlet = theirs.try_clone()?;
        let passage = Self { inlet, outlet, outside: VecDeque::new(), inside: VecDeque::new() };
        Ok((passage, theirs))
    }

    /// Puts a connection in, with the next [`flush`](Self::flush); says whether it is the first.
    pub(crate) fn push(&mut self, slip: Slip, name: HandleName) -> bool {
        self.outside.push_back((slip, name));
        self.outside.len() == 1
    }

    /// Sends what there is to send. A descriptor that is sent is closed here.
    pub(crate) fn flush(&mut self, handles: &mut Handles) -> Flushed {
        while let Some((slip, name)) = self.outside.front() {
            if let Some(connection) = handles.at(*name) {
                let sent = cmsg::send(self.inlet.as_fd(), &slip.to_bytes(), &[connection]);
                match sent.map_err(|error| error.kind()) {
                    Ok(_) => {}
                    // The worker has shut it down: nothing goes in any more, and what was to go in
                    // stays here until it is taken back.
                    Err(io::ErrorKind::BrokenPipe) => return Flushed::All,
                    // Too many are in flight, memory is short, or the queue is full: all of them
                    // pass. Its other end is open, if only here.
                    Err(_) => return Flushed::Refused,
                }
            }
            handles.lay_out(*name);
            self.inside.push_back((slip.handoff, *name));
            self.outside.pop_front();
        }
        Flushed::All
    }

    /// Whether something may be in the queue.
    pub(crate) fn is_occupied(&self) -> bool {
        !self.inside.is_empty()
    }

    /// Looks into the queue for what the worker has taken out of it since the last time.
    pub(crate) fn look(&mut self, taken: &mut Vec<HandoffId>) {
        if self.inside.is_empty() {
            return;
        }
        // Receiving, if only to look, would wait for a worker that is in the middle of it.
        // What cannot be seen has not changed, as far as is known.
        let Ok(bytes) = cmsg::queued(self.outlet.as_fd()) else { return };
        let count = self.inside.len().saturating_sub(bytes / SLIP_BYTES);
        taken.extend(self.inside.drain(..count).map(|(handoff, _)| handoff));
    }

    /// Takes everything back that the worker has not taken.
    pub(crate) fn take_back(&mut self, handles: &mut Handles) -> TakenBack {
        let mut back = TakenBack::default();
        while self.receive(handles, &mut back) {}
        back
    }

    /// The same of a worker that goes on, as far as this process has room for it: what is received
    /// without room for its descriptor is gone (unix(7)). The rest stays where it is.
    pub(crate) fn take_back_some(&mut self, handles: &mut Handles) -> TakenBack {
        let mut back = TakenBack::default();
        while self.inlet.try_clone().is_ok() && self.receive(handles, &mut back) {}
        back
    }

    /// Takes back the one that has waited longest; says whether there was one in the queue.
    fn receive(&mut self, handles: &mut Handles, back: &mut TakenBack) -> bool {
        let mut slip = [0; SLIP_BYTES];
        let mut received = Vec::new();
        let it = cmsg::receive(self.outlet.as_fd(), &mut slip, &mut received);
        let Some(Slip { handoff, .. }) = it.ok().and_then(|it| Slip::from_bytes(&slip[..it.bytes]))
        else {
            back.taken.extend(self.inside.drain(..).map(|(handoff, _)| handoff));
            back.rest.extend(self.outside.drain(..).map(|(slip, _)| slip.handoff));
            return false;
        };
        let count = self.inside.partition_point(|(taken, _)| *taken < handoff);
        back.taken.extend(self.inside.drain(..count).map(|(taken, _)| taken));
        // Else it was believed to be taken.
        if self.inside.front().is_some_and(|(it, _)| *it == handoff)
            && let Some((_, name)) = self.inside.pop_front()
        {
            match received.pop() {
                Some(connection) => {
                    handles.put_back(name, connection);
                    back.rest.push(handoff);
                }
                // Lost, since this process has no room for it: it is gone as if it were taken. The
                // budget of the core sees to it that there is room.
                None => back.taken.push(handoff),
            }
        }
        true
    }

    /// Writable again and again: each time when something is taken out.
    pub(crate) fn inlet(&self) -> BorrowedFd<'_> {
        self.inlet.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{Shutdown, shutdown};

    use super::*;

    /// A passage, and the table that its connections come from.
    struct Site {
        passage: Passage,
        theirs: OwnedFd,
        handles: Handles,
        /// The other ends of the connections, each of which has its number to tell.
        clients: Vec<UnixStream>,
        names: Vec<HandleName>,
    }

    impl Site {
        /// With so many connections pushed, numbered from 1.
        fn with(count: u64) -> Self {
            let (passage, theirs) = Passage::open().unwrap();
            let (clients, names) = Default::default();
            let mut site = Self { passage, theirs, handles: Handles::default(), clients, names };
            (1..=count).for_each(|number| site.push(number));
            site
        }

        fn push(&mut self, number: u64) {
            let (ours, mut client) = UnixStream::pair().unwrap();
            client.write_all(&number.to_le_bytes()).unwrap();
            let name = self.handles.insert(ours.into()).name();
            self.passage.push(slip(number), name);
            self.clients.push(client);
            self.names.push(name);
        }

        fn flush(&mut self) {
            assert_eq!(self.passage.flush(&mut self.handles), Flushed::All);
        }

        /// The worker takes one.
        fn take(&self) -> (Slip, Option<OwnedFd>) {
            let (mut bytes, mut received) = ([0; SLIP_BYTES], Vec::new());
            let it = cmsg::receive(self.theirs.as_fd(), &mut bytes, &mut received).unwrap();
            (Slip::from_bytes(&bytes[..it.bytes]).unwrap(), received.pop())
        }

        fn look(&mut self) -> Vec<u64> {
            let mut taken = Vec::new();
            self.passage.look(&mut taken);
            numbers(&taken)
        }

        /// What was taken, and the rest, of which each is what it was.
        fn take_back(mut self) -> (Vec<u64>, Vec<u64>) {
            let TakenBack { taken, rest } = self.passage.take_back(&mut self.handles);
            let (taken, rest) = (numbers(&taken), numbers(&rest));
            for &number in &rest {
                let handle = self.handles.at(self.names[number as usize - 1]).unwrap();
                assert_eq!(told(handle.try_clone_to_owned().unwrap()), number);
            }
            for &number in &taken {
                assert!(self.handles.at(self.names[number as usize - 1]).is_none());
            }
            (taken, rest)
        }

        /// Whether nobody has the connection any more.
        fn is_closed(&mut self, number: u64) -> bool {
            let client = &mut self.clients[number as usize - 1];
            client.set_nonblocking(true).unwrap();
            match client.read(&mut [0]) {
                Ok(count) => count == 0,
                // It ends with its number unread.
                Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn slip(number: u64) -> Slip {
        Slip { handoff: HandoffId(number), peer: None }
    }

    fn numbers(handoffs: &[HandoffId]) -> Vec<u64> {
        handoffs.iter().map(|it| it.0).collect()
    }

    /// What the other end of a connection has to tell.
    fn told(connection: OwnedFd) -> u64 {
        let mut bytes = [0; 8];
        UnixStream::from(connection).read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn what_is_pushed_is_sent_by_a_flush_and_not_kept() {
        let mut site = Site::with(3);
        assert!(!site.passage.is_occupied());
        site.flush();
        assert!(site.passage.is_occupied());
        for number in 1..=3 {
            assert!(site.handles.at(site.names[number as usize - 1]).is_none());
            let (slip, connection) = site.take();
            assert_eq!(slip.handoff.0, number);
            assert_eq!(told(connection.unwrap()), number);
            // The worker's was the only one.
            assert!(site.is_closed(number));
        }
    }

    #[test]
    fn a_look_sees_what_was_taken_since_the_last_one() {
        let mut site = Site::with(4);
        assert_eq!(site.look(), [0; 0]);
        site.flush();
        assert_eq!(site.look(), [0; 0]);
        site.take();
        site.take();
        assert_eq!(site.look(), [1, 2]);
        assert_eq!(site.look(), [0; 0]);
        site.take();
        site.take();
        site.push(5);
        // What is not sent yet is not taken.
        assert_eq!(site.look(), [3, 4]);
        assert!(!site.passage.is_occupied());
        site.flush();
        assert_eq!(site.look(), [0; 0]);
        site.take();
        assert_eq!(site.look(), [5]);
    }

    #[test]
    fn what_is_not_taken_comes_back_in_its_order() {
        for taken in 0..=3 {
            let mut site = Site::with(3);
            site.flush();
            site.push(4);
            (0..taken).for_each(|_| drop(site.take()));
            let (first, rest): (Vec<_>, Vec<_>) = (1..=4).partition(|it| *it <= taken);
            assert_eq!(site.take_back(), (first, rest));
        }
    }

    #[test]
    fn what_was_seen_to_be_taken_is_not_told_again() {
        let mut site = Site::with(4);
        site.flush();
        site.take();
        assert_eq!(site.look(), [1]);
        site.take();
        assert_eq!(site.take_back(), (vec![2], vec![3, 4]));
    }

    /// As when this process has no room for it.
    #[test]
    fn a_descriptor_that_is_lost_is_as_good_as_taken() {
        let mut site = Site::with(1);
        site.flush();
        cmsg::send(site.passage.inlet.as_fd(), &slip(2).to_bytes(), &[]).unwrap();
        let name = HandleName(1000);
        site.passage.inside.push_back((HandoffId(2), name));
        site.names.push(name);
        site.push(3);
        site.flush();
        assert_eq!(site.take_back(), (vec![2], vec![1, 3]));
    }

    /// What a worker should not have been able to do costs the one connection, and nothing is taken
    /// for another.
    #[test]
    fn what_was_only_believed_to_be_taken_is_closed() {
        let mut site = Site::with(3);
        site.flush();
        assert_eq!(site.passage.inside.pop_front(), Some((HandoffId(1), site.names[0])));
        assert_eq!(site.take_back(), (vec![], vec![2, 3]));
    }

    #[test]
    fn what_does_not_fit_is_sent_when_there_is_room() {
        let mut site = Site::with(0);
        let mut number = 0;
        let full = loop {
            number += 1;
            site.push(number);
            if site.passage.flush(&mut site.handles) == Flushed::Refused {
                break number;
            }
        };
        assert_eq!(site.passage.flush(&mut site.handles), Flushed::Refused);
        site.push(full + 1);
        (1..full).for_each(|number| assert_eq!(site.take().0.handoff.0, number));
        site.flush();
        assert_eq!(site.look().len() as u64, full - 1);
        assert_eq!(site.take_back(), (vec![], vec![full, full + 1]));
    }

    #[test]
    fn a_passage_that_the_worker_shuts_gives_back_what_is_in_it_and_before_it() {
        let mut site = Site::with(3);
        site.flush();
        site.take();
        shutdown(site.theirs.as_raw_fd(), Shutdown::Both).unwrap();
        site.push(4);
        site.flush();
        assert_eq!(site.look(), [1]);
        assert_eq!(site.take_back(), (vec![], vec![2, 3, 4]));
    }
}
