//! What the worker listens on: where the primary hands over, and sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use cluster_sys::set_nonblocking;
use cluster_sys::worker::{Command, Share};
use cluster_sys::{Claim, HandleKind, ListenerId, Message, Outgoing, Payload};
use cluster_tests::script::Report;
use mio::Token;

use super::sockets::{Acceptor, Client, Handed, Place, is_nonblocking};
use super::worker::{HeldUp, Wish, Worker};

/// Something that is listened on.
pub(super) struct Listener {
    /// The share in it, if there is one.
    id: Option<ListenerId>,
    pub(super) data: Vec<u8>,
    /// The socket, if this worker accepts from it.
    token: Option<Token>,
    /// Where the primary hands connections over, if it does.
    arrivals: Option<Token>,
    serving: bool,
}

impl Worker {
    /// Keeps what the primary has granted; gives its name.
    pub(super) fn share(&mut self, slot: u8, name: String, share: Share) -> io::Result<String> {
        let Share { listener, address, arrivals, socket, data, claims: _ } = share;
        let token = socket.map(|it| self.add_acceptor(slot, it)).transpose()?;
        let arrivals = arrivals.map(|it| Place::Arrivals(slot, Handed(it)));
        let registry = self.poll.registry();
        let arrivals = arrivals.map(|it| self.sockets.add(registry, it)).transpose()?;
        let (id, serving) = (Some(listener), false);
        self.listeners.insert(slot, Listener { id, data, token, arrivals, serving });
        let is_path = matches!(address, cluster_sys::Address::Unix(_));
        Ok(if is_path { name } else { address.to_string() })
    }

    /// Keeps a socket of this process's own; gives its name.
    pub(super) fn keep(&mut self, slot: u8, name: String, socket: OwnedFd) -> io::Result<String> {
        let token = self.add_acceptor(slot, socket)?;
        let (id, data, serving) = (None, Vec::new(), false);
        let (token, arrivals) = (Some(token), None);
        self.listeners.insert(slot, Listener { id, data, token, arrivals, serving });
        Ok(self.acceptor(slot).and_then(Acceptor::address).unwrap_or(name))
    }

    /// Takes the handle of a message.
    pub(super) fn adopt(&mut self, slot: u8, message: &Message) -> io::Result<&'static str> {
        let handle = message.take_handle().expect("it came");
        set_nonblocking(&handle)?;
        Ok(match HandleKind::of(&handle)? {
            kind @ (HandleKind::TcpStream | HandleKind::UnixStream) => {
                let claim = Claim::own(self.host.activity().begin());
                self.welcome(handle, kind, claim)?;
                "a TCP connection"
            }
            kind => {
                self.keep(slot, String::new(), handle)?;
                if kind == HandleKind::UdpSocket { "a UDP socket" } else { "a TCP listener" }
            }
        })
    }

    pub(super) fn close(&mut self, slot: u8) -> io::Result<()> {
        let listener = self.listeners.remove(&slot).expect("it was opened");
        for token in [listener.token, listener.arrivals].into_iter().flatten() {
            self.sockets.close(self.poll.registry(), token)?;
        }
        if let Some(listener) = listener.id {
            self.command(Command::Close { listener });
        }
        Ok(())
    }

    /// This worker leaves: what is shared, the others go on with.
    pub(super) fn close_shares(&mut self) -> io::Result<()> {
        for listener in self.listeners.values_mut().filter(|it| it.id.is_some()) {
            if let Some(token) = listener.token.take() {
                self.sockets.close(self.poll.registry(), token)?;
            }
        }
        Ok(())
    }

    /// Serves from now on.
    pub(super) fn serve(&mut self, slot: u8) -> io::Result<()> {
        self.listeners.get_mut(&slot).expect("it was opened").serving = true;
        self.attend(slot)
    }

    /// Waits for a connection, or a datagram, that is not to be served.
    pub(super) fn wait_for(&mut self, slot: u8, wish: Wish) -> io::Result<()> {
        self.held_up = Some(HeldUp::Wish(slot, wish));
        self.attend(slot)
    }

    pub(super) fn send(&mut self, slot: u8, to: SocketAddr, text: &str) -> io::Result<()> {
        self.acceptor(slot).expect("it was opened").send(to, text)
    }

    /// This worker shares a listener no longer: what was handed over and lies there goes to others.
    pub(super) fn close_arrivals(&mut self, id: ListenerId) -> io::Result<()> {
        let listener = self.listeners.values_mut().find(|it| it.id == Some(id));
        match listener.and_then(|it| it.arrivals.take()) {
            Some(token) => self.sockets.close(self.poll.registry(), token),
            None => Ok(()),
        }
    }

    /// This worker may have new connections again.
    pub(super) fn attend_all(&mut self) -> io::Result<()> {
        let slots: Vec<_> = self.listeners.keys().copied().collect();
        slots.into_iter().try_for_each(|slot| self.attend(slot))
    }

    /// Takes what there is, if somebody wants it: what was handed over, and what its socket has.
    pub(super) fn attend(&mut self, slot: u8) -> io::Result<()> {
        // One at a time: the next one may be for another purpose.
        while let Some(id) = self.wanted(slot) {
            if let Some((socket, claim)) = self.handed(slot).and_then(Handed::receive) {
                self.meet(slot, socket, claim)?;
                continue;
            }
            let is_cordoned = id.is_some() && self.host.facts().is_cordoned();
            let Some(acceptor) = self.acceptor(slot) else { return Ok(()) };
            if let Some(socket) = (!is_cordoned).then(|| acceptor.accept()).flatten() {
                let claim = Claim::own(self.host.activity().begin());
                self.meet(slot, socket, claim)?;
            } else if let Some((text, from)) = acceptor.receive() {
                self.answer(slot, text, from);
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether something is wanted of a listener: then its share, if it has one.
    fn wanted(&self, slot: u8) -> Option<Option<ListenerId>> {
        let listener = self.listeners.get(&slot)?;
        let wished = matches!(self.held_up, Some(HeldUp::Wish(it, _)) if it == slot);
        (wished || listener.serving).then_some(listener.id)
    }

    /// Does with a connection what is wanted.
    fn meet(&mut self, slot: u8, socket: OwnedFd, claim: Claim) -> io::Result<()> {
        match self.held_up.take_if(|it| matches!(it, HeldUp::Wish(it, _) if *it == slot)) {
            Some(HeldUp::Wish(_, Wish::Give)) => {
                let report = Report::Text("given".to_owned());
                let payload = Payload::encode(self.host.encoding(), &report);
                let payload = payload.expect("a report has a form");
                let permit = self.host.outbox().reserve(payload.len()).expect("there is room");
                let message = Outgoing::new(payload, permit).with_handles(vec![socket]);
                self.command(Command::Send { message, reply: None });
            }
            Some(_) => self.say(&Report::Text(is_nonblocking(&socket).to_string())),
            None => {
                let kind = HandleKind::of(&socket)?;
                self.welcome(socket, kind, claim)?;
            }
        }
        Ok(())
    }

    /// Does with a datagram what is wanted.
    fn answer(&mut self, slot: u8, text: String, from: SocketAddr) {
        match self.held_up.take_if(|it| matches!(it, HeldUp::Wish(it, _) if *it == slot)) {
            Some(_) => self.say(&Report::Text(text)),
            None => {
                let answer = format!("{} {text}", self.host.id());
                // Who has asked may be gone.
                self.send(slot, from, &answer).unwrap_or_default();
            }
        }
    }

    fn welcome(&mut self, socket: OwnedFd, kind: HandleKind, claim: Claim) -> io::Result<()> {
        let mut client = Client::new(socket, kind, claim);
        // A client may go away at any time.
        if client.greet(&self.host.id().to_string()).is_ok() {
            self.sockets.add(self.poll.registry(), Place::Client(client))?;
        }
        Ok(())
    }

    fn add_acceptor(&mut self, slot: u8, socket: OwnedFd) -> io::Result<Token> {
        let kind = HandleKind::of(&socket)?;
        let acceptor = Acceptor::new(socket, kind).ok_or(io::ErrorKind::InvalidInput)?;
        self.sockets.add(self.poll.registry(), Place::Listener(slot, acceptor))
    }

    fn acceptor(&mut self, slot: u8) -> Option<&Acceptor> {
        match self.sockets.at(self.listeners.get(&slot)?.token?)? {
            Place::Listener(_, acceptor) => Some(acceptor),
            _ => None,
        }
    }

    fn handed(&mut self, slot: u8) -> Option<&Handed> {
        match self.sockets.at(self.listeners.get(&slot)?.arrivals?)? {
            Place::Arrivals(_, handed) => Some(handed),
            _ => None,
        }
    }
}
