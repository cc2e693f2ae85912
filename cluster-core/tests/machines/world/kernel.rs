//! The operating system: sockets that listen, connections, and who holds a copy of which.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cluster_core::primary::Close;
use cluster_core::{Address, ListenSpec, ListenerId, OsError, SlotId, WorkerId};

use super::passage::Passage;

/// The name of a descriptor: the number of a connection, of a [`socket`], or of a passage.
pub(crate) type Number = usize;

/// Sockets have numbers that no connection reaches.
const SOCKETS: Number = 1_000_000;
/// As many for each listener.
const SLOTS: Number = 10_000;
/// Passages have numbers that no socket reaches.
pub(super) const PASSAGES: Number = 1_000_000_000;

/// One of the sockets of a listener.
pub(crate) type Place = (ListenerId, SlotId);

/// Linux: `EADDRINUSE`.
pub(crate) const ADDRESS_IN_USE: OsError = OsError(98);
/// Linux: `EMFILE`.
pub(crate) const TOO_MANY_FILES: OsError = OsError(24);
/// Linux: `EBADF`.
pub(crate) const NO_SUCH_FILE: OsError = OsError(9);

/// Who holds a copy of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Primary,
    /// With the primary's host, to be sent to the worker.
    Queue(WorkerId),
    /// In the channel, on its way to the worker.
    Down(WorkerId),
    /// In a passage to the worker.
    Passage(WorkerId),
    Worker(WorkerId),
    /// In the channel, on its way to the primary.
    Up(WorkerId),
}

#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) sockets: BTreeMap<Place, Socket>,
    /// Over which slots connections are spread, where that was said.
    pub(crate) spread: BTreeMap<ListenerId, Vec<SlotId>>,
    /// Which of them is next.
    pub(crate) turn: usize,
    pub(crate) connections: Vec<Connection>,
    pub(crate) passages: BTreeMap<Number, Passage>,
    pub(super) passages_opened: usize,
    /// Addresses that somebody else listens on.
    pub(crate) busy: Vec<Address>,
    /// Sockets that the primary has inherited, by their descriptors.
    pub(crate) inherited: BTreeMap<u32, Address>,
    /// No descriptors are left for the primary.
    pub(crate) exhausted: bool,
    /// Too many descriptors are on their way: none more is sent.
    pub(crate) crammed: bool,
    /// How many connections fit into a passage, if that is to be few.
    pub(crate) passage_room: Option<usize>,
    /// Clients that waited in a backlog when the last copy of the socket was closed.
    pub(crate) reset: usize,
    ports: u16,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) spec: ListenSpec,
    /// Known when it is bound.
    pub(crate) address: Option<Address>,
    /// The primary accepts from it.
    pub(crate) accepting: bool,
    pub(crate) copies: Vec<Holder>,
    /// Clients, or with UDP, datagrams: one that is received counts as a connection.
    pub(crate) backlog: VecDeque<Number>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) listener: ListenerId,
    pub(crate) peer: SocketAddr,
    pub(crate) copies: Vec<Holder>,
    /// The primary has seen it, or a worker.
    pub(crate) accepted: bool,
    /// A worker has given it back.
    pub(crate) returned: bool,
    /// The worker that has taken it last.
    pub(crate) taken_by: Option<WorkerId>,
    /// The worker has taken it out of a passage, and not accepted it itself.
    pub(crate) handed: bool,
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
        let socket = Socket {
            spec,
            address: None,
            accepting: false,
            copies: Vec::new(),
            backlog: VecDeque::new(),
        };
        let before = self.sockets.insert((listener, SlotId(0)), socket);
        assert!(before.is_none(), "a listener's name is never used again");
    }

    /// A further socket on the address of a listener that is bound.
    pub(crate) fn ask_slot(&mut self, place: Place) {
        let first = &self.sockets[&(place.0, SlotId(0))];
        assert!(first.address.is_some(), "bound first");
        let socket = Socket {
            spec: first.spec.clone(),
            address: None,
            accepting: false,
            copies: Vec::new(),
            backlog: VecDeque::new(),
        };
        assert!(self.sockets.insert(place, socket).is_none(), "a slot is opened once");
    }

    /// Opens what was asked for, if its listener still is there.
    pub(crate) fn open_slot(&mut self, place: Place) -> Result<(), OsError> {
        let first = self.sockets.get(&(place.0, SlotId(0)));
        let address = first.filter(|it| it.copies.contains(&Holder::Primary));
        let address = address.and_then(|it| it.address.clone());
        match address {
            Some(address) if !self.exhausted => {
                let socket = self.sockets.get_mut(&place).expect("asked for");
                socket.address = Some(address);
                socket.copies.push(Holder::Primary);
                Ok(())
            }
            Some(_) | None => {
                self.sockets.remove(&place);
                Err(TOO_MANY_FILES)
            }
        }
    }

    /// Binds what was asked for.
    pub(crate) fn bind(&mut self, listener: ListenerId) -> Result<Address, OsError> {
        let place = (listener, SlotId(0));
        let wanted = self.sockets[&place].spec.address.clone();
        let result = match wanted {
            Address::Tcp(tcp) if tcp.port() == 0 => Ok(Address::Tcp(self.any_port(tcp))),
            Address::Udp(udp) if udp.port() == 0 => Ok(Address::Udp(self.any_port(udp))),
            Address::Inherited(number) => self.inherited.get(&number).cloned().ok_or(NO_SUCH_FILE),
            other if self.is_taken(&other) => Err(ADDRESS_IN_USE),
            other => Ok(other),
        };
        match &result {
            Ok(address) => {
                let socket = self.sockets.get_mut(&place).expect("asked for");
                socket.address = Some(address.clone());
                socket.copies.push(Holder::Primary);
            }
            Err(_) => drop(self.sockets.remove(&place)),
        }
        result
    }

    fn any_port(&mut self, wanted: SocketAddr) -> SocketAddr {
        self.ports += 1;
        SocketAddr::new(wanted.ip(), 40_000 + self.ports)
    }

    /// An address is taken as long as anybody has a copy of its socket.
    fn is_taken(&self, address: &Address) -> bool {
        self.busy.contains(address)
            || self.sockets.values().any(|it| it.address.as_ref() == Some(address))
    }

    /// A client connects; `None` if nobody listens or the backlog is full.
    pub(crate) fn connect(&mut self, address: &Address) -> Option<Number> {
        let number = self.connections.len();
        let place = self.next_place(address)?;
        let socket = self.sockets.get_mut(&place)?;
        if socket.backlog.len() >= socket.spec.backlog as usize {
            return None;
        }
        socket.backlog.push_back(number);
        let port = 50_000 + u16::try_from(number % 10_000).expect("small");
        let host = 1 + u8::try_from(number % 7).expect("small");
        self.connections.push(Connection {
            listener: place.0,
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), port),
            copies: Vec::new(),
            accepted: false,
            returned: false,
            taken_by: None,
            handed: false,
            reader: None,
            served: false,
            closed: None,
            dropped: false,
        });
        Some(number)
    }

    /// Where the next connection to `address` is queued.
    fn next_place(&mut self, address: &Address) -> Option<Place> {
        let here = |place: &Place| {
            self.sockets.get(place).is_some_and(|it| it.address.as_ref() == Some(address))
        };
        let first = *self.sockets.keys().find(|place| here(place))?;
        let spread = self.spread.get(&first.0).map_or(&[][..], Vec::as_slice);
        let open: Vec<_> = spread.iter().map(|slot| (first.0, *slot)).filter(here).collect();
        self.turn += 1;
        Some(open.get(self.turn % open.len().max(1)).copied().unwrap_or(first))
    }

    pub(crate) fn accept(&mut self, place: Place, holder: Holder) -> Number {
        let socket = self.sockets.get_mut(&place).expect("listens");
        assert!(socket.copies.contains(&holder), "{holder:?} has no copy of {place:?}");
        let number = socket.backlog.pop_front().expect("somebody connects");
        self.connections[number].accepted = true;
        self.open(number, holder);
        number
    }

    pub(crate) fn open(&mut self, number: Number, holder: Holder) {
        self.copies(number).push(holder);
    }

    pub(crate) fn close(&mut self, number: Number, holder: Holder) {
        let copies = self.copies(number);
        let place = copies.iter().position(|it| *it == holder);
        copies.remove(place.unwrap_or_else(|| panic!("{holder:?} has no copy of {number}")));
        self.close_sockets();
    }

    fn copies(&mut self, number: Number) -> &mut Vec<Holder> {
        match place_of(number) {
            Some(place) => &mut self.sockets.get_mut(&place).expect("is open").copies,
            None if number >= PASSAGES => {
                &mut self.passages.get_mut(&number).expect("is open").copies
            }
            None => &mut self.connections[number].copies,
        }
    }

    /// A socket that nobody has a copy of is gone, and with it who waited there.
    fn close_sockets(&mut self) {
        self.sockets.retain(|_, socket| {
            let gone = socket.address.is_some() && socket.copies.is_empty();
            self.reset += if gone { socket.backlog.len() } else { 0 };
            !gone
        });
        self.close_passages();
    }

    pub(crate) fn pass(&mut self, number: Number, from: Holder, to: Holder) {
        self.open(number, to);
        self.close(number, from);
    }

    /// A process has ended, or one end of a channel is closed: its copies are gone.
    pub(crate) fn close_all(&mut self, holder: Holder) {
        for connection in &mut self.connections {
            connection.copies.retain(|it| *it != holder);
        }
        for socket in self.sockets.values_mut() {
            socket.copies.retain(|it| *it != holder);
        }
        for passage in self.passages.values_mut() {
            passage.copies.retain(|it| *it != holder);
        }
        self.close_sockets();
    }

    /// The sockets that `holder` has.
    pub(crate) fn sockets_of(&self, holder: Holder) -> Vec<Place> {
        let held = |it: &Socket| it.copies.contains(&holder);
        self.sockets.iter().filter(|(_, it)| held(it)).map(|(place, _)| *place).collect()
    }

    /// How many connections are queued in each slot of a listener.
    pub(crate) fn queued(&self, listener: ListenerId) -> Vec<u32> {
        let all = self.sockets.range((listener, SlotId(0))..=(listener, SlotId(u16::MAX)));
        let mut queued = Vec::new();
        for ((_, SlotId(slot)), socket) in all {
            queued.resize(usize::from(*slot), 0);
            queued.push(u32::try_from(socket.backlog.len()).expect("few"));
        }
        queued
    }

    /// How many connections `holder` has.
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

/// The name of the descriptor of a listener's socket.
pub(crate) fn socket((listener, slot): Place) -> Number {
    let listener = Number::try_from(listener.0).expect("fits");
    SOCKETS + listener * SLOTS + Number::from(slot.0)
}

/// Which socket this is, or `None` for a connection or a passage.
pub(crate) fn place_of(number: Number) -> Option<Place> {
    let number = number.checked_sub(SOCKETS).filter(|_| number < PASSAGES)?;
    let listener = ListenerId(u32::try_from(number / SLOTS).expect("fits"));
    Some((listener, SlotId(u16::try_from(number % SLOTS).expect("fits"))))
}
