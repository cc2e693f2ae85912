//! The operating system: sockets that listen, connections, and who holds a copy of which.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cluster_core::primary::Close;
use cluster_core::{Address, ListenSpec, ListenerId, OsError, WorkerId};

/// The number of a connection, which is also the name of its descriptor.
pub(crate) type Number = usize;

/// Linux: `EADDRINUSE`.
pub(crate) const ADDRESS_IN_USE: OsError = OsError(98);
/// Linux: `EMFILE`.
pub(crate) const TOO_MANY_FILES: OsError = OsError(24);

/// Who holds a copy of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Primary,
    /// In the channel, on its way to the worker.
    Down(WorkerId),
    Worker(WorkerId),
    /// In the channel, on its way to the primary.
    Up(WorkerId),
}

#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) sockets: BTreeMap<ListenerId, Socket>,
    pub(crate) connections: Vec<Connection>,
    /// Addresses that somebody else listens on.
    pub(crate) busy: Vec<Address>,
    /// No descriptors are left for `accept`.
    pub(crate) exhausted: bool,
    ports: u16,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) spec: ListenSpec,
    /// Known when it is bound.
    pub(crate) address: Option<Address>,
    pub(crate) accepting: bool,
    pub(crate) backlog: VecDeque<Number>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) copies: Vec<Holder>,
    /// The primary has seen it.
    pub(crate) accepted: bool,
    /// The worker that said last that it has taken it.
    pub(crate) taken_by: Option<WorkerId>,
    /// The worker whose application reads it.
    pub(crate) reader: Option<WorkerId>,
    pub(crate) served: bool,
    /// Why the primary closed its copy, last.
    pub(crate) closed: Option<Close>,
    /// A worker gave it back when there was no primary to give it to.
    pub(crate) dropped: bool,
}

impl Kernel {
    pub(crate) fn ask(&mut self, listener: ListenerId, spec: ListenSpec) {
        let socket = Socket { spec, address: None, accepting: false, backlog: VecDeque::new() };
        let before = self.sockets.insert(listener, socket);
        assert!(before.is_none(), "a listener's name is never used again");
    }

    /// Binds what was asked for.
    pub(crate) fn bind(&mut self, listener: ListenerId) -> Result<Address, OsError> {
        let wanted = self.sockets[&listener].spec.address.clone();
        let address = match wanted {
            Address::Tcp(tcp) if tcp.port() == 0 => {
                self.ports += 1;
                Address::Tcp(SocketAddr::new(tcp.ip(), 40_000 + self.ports))
            }
            other => other,
        };
        let taken = self.sockets.values().any(|it| it.address.as_ref() == Some(&address));
        if taken || self.busy.contains(&address) {
            self.sockets.remove(&listener);
            return Err(ADDRESS_IN_USE);
        }
        let socket = self.sockets.get_mut(&listener).expect("asked for");
        socket.address = Some(address.clone());
        Ok(address)
    }

    /// A client connects; `None` if nobody listens or the backlog is full.
    pub(crate) fn connect(&mut self, address: &Address) -> Option<Number> {
        let number = self.connections.len();
        let here = |it: &&mut Socket| it.address.as_ref() == Some(address);
        let socket = self.sockets.values_mut().find(here)?;
        if socket.backlog.len() >= socket.spec.backlog as usize {
            return None;
        }
        socket.backlog.push_back(number);
        let port = 50_000 + u16::try_from(number % 10_000).expect("small");
        self.connections.push(Connection {
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            copies: Vec::new(),
            accepted: false,
            taken_by: None,
            reader: None,
            served: false,
            closed: None,
            dropped: false,
        });
        Some(number)
    }

    pub(crate) fn accept(&mut self, listener: ListenerId) -> Number {
        let socket = self.sockets.get_mut(&listener).expect("listens");
        let number = socket.backlog.pop_front().expect("somebody connects");
        self.connections[number].accepted = true;
        self.open(number, Holder::Primary);
        number
    }

    pub(crate) fn open(&mut self, number: Number, holder: Holder) {
        self.connections[number].copies.push(holder);
    }

    pub(crate) fn close(&mut self, number: Number, holder: Holder) {
        let copies = &mut self.connections[number].copies;
        let place = copies.iter().position(|it| *it == holder);
        copies.remove(place.unwrap_or_else(|| panic!("{holder:?} has no copy of {number}")));
    }

    pub(crate) fn pass(&mut self, number: Number, from: Holder, to: Holder) {
        self.close(number, from);
        self.open(number, to);
    }

    /// A process has ended, or one end of a channel is closed: its copies are gone.
    pub(crate) fn close_all(&mut self, holder: Holder) {
        for connection in &mut self.connections {
            connection.copies.retain(|it| *it != holder);
        }
    }

    pub(crate) fn copies_of(&self, holder: Holder) -> usize {
        let copies = self.connections.iter().flat_map(|it| &it.copies);
        copies.filter(|it| **it == holder).count()
    }

    /// The application of `worker` reads the first byte.
    pub(crate) fn read(&mut self, number: Number, worker: WorkerId) {
        let connection = &mut self.connections[number];
        assert_eq!(connection.reader, None, "a connection is read by one application");
        assert!(connection.copies.contains(&Holder::Worker(worker)), "it has a descriptor");
        connection.reader = Some(worker);
    }

    /// The application of `worker` has answered its client.
    pub(crate) fn finish(&mut self, number: Number, worker: WorkerId) {
        self.close(number, Holder::Worker(worker));
        let served = std::mem::replace(&mut self.connections[number].served, true);
        assert!(!served, "a connection is served once");
    }
}
