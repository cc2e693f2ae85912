//! The host's part in the primary: carries out actions, reports facts.

use cluster_core::primary::{Action, Close, Event, Input};
use cluster_core::{
    Address, HandleName, HandleToken, ListenerId, Output, Overload, Pid, RequestId, Schedule,
    Sharing, SlotId, ToPrimary, ToWorker, WorkerId,
};

use super::kernel::{self, Holder, Number, Place, TOO_MANY_FILES};
use super::process::{End, Process, Stage};
use super::retrieval::Then;
use super::{World, words};

impl World {
    /// Drains the primary, and checks what must hold then.
    pub(crate) fn drain_primary(&mut self) {
        loop {
            match self.primary.poll_output() {
                Output::Action(action) => {
                    self.trace("primary", || words::primary_action(&action));
                    self.carry_out(action);
                }
                Output::Event(event) => {
                    self.trace("primary", || words::primary_event(&event));
                    self.witness.hear(&event, &self.primary);
                    self.count(&event);
                }
                Output::Wait(deadline) => {
                    let again = self.primary.poll_output();
                    assert_eq!(again, Output::Wait(deadline), "polled again, it waits again");
                    break self.deadline = deadline;
                }
            }
        }
        self.audit();
    }

    pub(crate) fn tell_primary(&mut self, input: Input) {
        self.primary.handle_input(self.now, input);
        self.drain_primary();
    }

    fn count(&mut self, event: &Event) {
        if let Event::AcceptFailed { .. } = event {
            self.tally.accept_failures += 1;
        }
    }

    fn carry_out(&mut self, action: Action) {
        self.tally.deeds += usize::from(!matches!(action, Action::Inspect { .. }));
        match action {
            Action::Spawn { worker } => {
                self.witness.forked(worker);
                self.processes.insert(worker, Process::new(self.room));
            }
            Action::Signal { worker, signal } => self.signal(worker, signal),
            Action::Send { worker, message } => self.say(worker, message),
            Action::Hand { worker, listener, handoff, connection, peer } => {
                self.hand(worker, listener, handoff, connection, peer);
            }
            Action::TakeBack { worker, listener } => {
                self.rescues.insert((worker, listener));
            }
            Action::Lend { worker, message, listener, slot } => {
                self.lend(worker, message, (listener, slot));
            }
            Action::EndChannel { worker } => {
                let end = &mut self.process(worker).link.primary_end;
                assert_eq!(*end, End::Open, "a channel is ended once");
                *end = End::Ending;
            }
            Action::Listen { listener, spec, sharing } => {
                assert_eq!(sharing, sharing_of(self.config.schedule(), &spec.address));
                self.shared.insert(listener, sharing);
                self.kernel.ask(listener, spec);
            }
            Action::OpenSlot { listener, slot } => self.kernel.ask_slot((listener, slot)),
            Action::Spread { listener, slots } => self.spread(listener, slots),
            Action::Inspect { listener } => drop(self.inspected.insert(listener)),
            Action::ResumeAccept { listener, slot } => self.accept_from((listener, slot), true),
            Action::PauseAccept { listener, slot } => self.accept_from((listener, slot), false),
            Action::CloseListener { listener } => self.close_sockets(listener),
            Action::Close { connection, why } => self.close(number_of(&connection), why),
        }
    }

    /// Nobody's connection is closed but for a reason that is true.
    fn close(&mut self, number: Number, why: Close) {
        let connection = &self.kernel.connections[number];
        let listener = connection.listener;
        match why {
            // Its own copy of what is taken was closed when it was put in.
            Close::Taken => assert!(!connection.copies.contains(&Holder::Primary), "it is out"),
            Close::NoWorker => {
                let sockets = self.kernel.sockets_of(Holder::Primary);
                let shared = sockets.contains(&(listener, SlotId(0)));
                assert!(!shared, "closed for want of a worker: {connection:?}");
            }
            Close::Overload => {
                let in_flight = self.witness.connections_in_flight();
                let waits = |(number, it): &(Number, &kernel::Connection)| {
                    let here = it.listener == listener && it.copies.contains(&Holder::Primary);
                    here && !in_flight.contains(number)
                };
                let waiting = self.kernel.connections.iter().enumerate().filter(waits).count();
                // For one of several listeners, no more than the budget has left, this one included.
                let left = self.config.budget().saturating_sub(self.primary.connections() + 1);
                let most = if self.shared.len() > 1 { left } else { usize::MAX };
                let too_many = waiting > most.min(self.config.waiting()) && !connection.returned;
                assert!(too_many && self.config.overload() == Overload::Close, "{connection:?}");
            }
            Close::Unexpected => panic!("nothing came that should not: {connection:?}"),
        }
        if why != Close::Taken {
            self.kernel.close(number, Holder::Primary);
        }
        self.kernel.connections[number].closed = Some(why);
    }

    fn say(&mut self, worker: WorkerId, message: ToWorker) {
        assert_eq!(message.handles(), 0, "what carries a descriptor is said otherwise");
        self.hears(worker, &message);
        self.tally.probes += usize::from(message == ToWorker::Probe);
        if let ToWorker::Listen { request, result: Ok(grant) } = &message {
            let (request, listener) = (*request, grant.listener);
            if has_connections(&grant.address) && self.kernel.exhausted {
                return self.lend_failed(worker, request, listener, "a passage");
            }
        }
        self.queue(worker, message, None);
    }

    /// The copy is made at once: the primary may close its own before the message is written.
    fn lend(&mut self, worker: WorkerId, message: ToWorker, place: Place) {
        let ToWorker::Listen { request, result: Ok(grant) } = &message else {
            panic!("only a grant lends: {message:?}")
        };
        assert_eq!(message.handles(), 1, "as the message says");
        assert_eq!(grant.listener, place.0, "the listener that it is about");
        let alone = grant.sharing == Sharing::Sharded || !self.kernel.sockets[&place].accepting;
        assert!(alone, "workers accept, the primary does not");
        let (request, listener) = (*request, place.0);
        self.hears(worker, &message);
        if self.kernel.exhausted {
            let name = words::place(place);
            return self.lend_failed(worker, request, listener, &format!("a copy of {name}"));
        }
        let number = kernel::socket(place);
        assert!(self.kernel.sockets_of(Holder::Primary).contains(&place), "there is one");
        self.kernel.open(number, Holder::Queue(worker));
        self.queue(worker, message, Some(number));
    }

    fn lend_failed(&mut self, worker: WorkerId, request: RequestId, of: ListenerId, what: &str) {
        self.trace(">", || format!("no descriptor is left for {what}"));
        let error = TOO_MANY_FILES;
        let input = Input::LendFailed { worker, request, listener: of, error };
        self.primary.handle_input(self.now, input);
    }

    /// What is to be written. A grant for connections comes after its passage.
    fn queue(&mut self, worker: WorkerId, message: ToWorker, number: Option<Number>) {
        if let ToWorker::Listen { result: Ok(grant), .. } = &message {
            let listener = grant.listener;
            self.witness.granted(grant);
            assert_eq!(grant.sharing, self.shared[&listener], "as was decided");
            assert_eq!(grant.counted, self.config.schedule().counts(), "as is in force");
            if has_connections(&grant.address) {
                let passage = self.open_passage(worker, listener);
                let frame = (ToWorker::Passage { listener }, Some(passage));
                self.process(worker).link.queue.push_back(frame);
            }
        }
        self.process(worker).link.queue.push_back((message, number));
    }

    fn hears(&self, worker: WorkerId, message: &ToWorker) {
        let link = &self.processes[&worker].link;
        assert_eq!(link.primary_end, End::Open, "nothing is said after the end: {message:?}");
        let reaped = self.processes[&worker].stage == Stage::Reaped;
        assert!(!reaped, "nothing is said to the dead: {message:?}");
    }

    /// Closes all sockets of a listener that are open; what is being opened will not be.
    fn close_sockets(&mut self, listener: ListenerId) {
        let mut held = self.kernel.sockets_of(Holder::Primary);
        held.retain(|place| place.0 == listener);
        assert!(!held.is_empty(), "closed when it is bound, and once");
        for place in held {
            let socket = self.kernel.sockets.get_mut(&place).expect("held");
            socket.accepting = false;
            self.kernel.close(kernel::socket(place), Holder::Primary);
        }
        self.inspected.remove(&listener);
    }

    fn spread(&mut self, listener: ListenerId, slots: Vec<SlotId>) {
        let held = self.kernel.sockets_of(Holder::Primary);
        assert!(slots.iter().all(|slot| held.contains(&(listener, *slot))), "over open sockets");
        let before = self.kernel.spread.insert(listener, slots.clone());
        assert!(!slots.is_empty() && before != Some(slots), "told when it changes");
    }

    fn accept_from(&mut self, place: Place, accepting: bool) {
        let socket = self.kernel.sockets.get_mut(&place).expect("a listener there is");
        assert!(socket.address.is_some(), "bound first");
        let before = std::mem::replace(&mut socket.accepting, accepting);
        assert_ne!(before, accepting, "told once");
    }

    /// The answer to `Spawn`.
    pub(super) fn spawn(&mut self, worker: WorkerId) {
        if let Some(error) = self.spawn_error {
            self.processes.remove(&worker);
            return self.tell_primary(Input::SpawnFailed { worker, error });
        }
        self.process(worker).stage = Stage::Running;
        let pid = Pid(100 + worker.number());
        self.tell_primary(Input::Spawned { worker, pid });
        self.drain_agent(worker);
    }

    /// The answer to `Listen`.
    pub(super) fn bind(&mut self, listener: ListenerId) {
        let result = self.kernel.bind(listener);
        if let Ok(Address::Udp(_)) = result {
            let shared = self.shared.entry(listener);
            shared.and_modify(|it| *it = sharing_of_datagrams(*it));
        }
        self.tell_primary(Input::ListenDone { listener, result });
    }

    /// The answer to `OpenSlot`.
    pub(super) fn open_slot(&mut self, place: Place) {
        let result = self.kernel.open_slot(place);
        self.tally.slots_refused += usize::from(result.is_err());
        let (listener, slot) = place;
        self.tell_primary(Input::SlotOpened { listener, slot, result });
    }

    /// The answer to `Inspect`.
    pub(super) fn inspect(&mut self, listener: ListenerId) {
        self.inspected.remove(&listener);
        let queued = self.kernel.queued(listener);
        self.tell_primary(Input::Inspected { listener, queued });
    }

    pub(super) fn accept(&mut self, place: Place) {
        let listener = place.0;
        if self.kernel.exhausted {
            return self.tell_primary(Input::AcceptFailed { listener, error: TOO_MANY_FILES });
        }
        self.tally.rescued += usize::from(self.kernel.spread.contains_key(&listener));
        let number = self.kernel.accept(place, Holder::Primary);
        let peer = Some(self.kernel.connections[number].peer);
        self.tell_primary(Input::Accepted { listener, connection: token(number), peer });
    }

    /// The primary's host writes one message into the channel, with the descriptor that it
    /// has for it.
    pub(super) fn write_down(&mut self, worker: WorkerId) {
        let link = &mut self.processes.get_mut(&worker).expect("there is").link;
        let (message, number) = link.queue.pop_front().expect("something to say");
        if link.worker_end == End::Closed && !link.held {
            // EPIPE, which never is the primary's concern
            if let Some(number) = number {
                self.kernel.close(number, Holder::Queue(worker));
            }
            return;
        }
        if let Some(number) = number {
            self.kernel.pass(number, Holder::Queue(worker), Holder::Down(worker));
        }
        link.down.push_back((message, number));
    }

    /// What the worker took before it said this is told first.
    pub(super) fn read_up(&mut self, worker: WorkerId) {
        self.look(worker);
        let (message, number) = self.process(worker).link.up.pop_front().expect("said");
        if let ToPrimary::Leaving = message {
            self.witness.left(worker);
        }
        if let Some(number) = number {
            self.kernel.pass(number, Holder::Up(worker), Holder::Primary);
            let connection = &mut self.kernel.connections[number];
            (connection.taken_by, connection.returned) = (None, true);
            self.tally.returned += 1;
        }
        if let ToPrimary::Close { listener } = message {
            let then = Input::Received { worker, message, handle: None };
            return self.retrieve(worker, Some(listener), Then::Close(then));
        }
        let woken = message == ToPrimary::Awake;
        let mut rescued = if woken { self.places_rescued(worker) } else { Vec::new() };
        self.tell_primary(Input::Received { worker, message, handle: number.map(token) });
        rescued.retain(|it| !self.places_rescued(worker).contains(it));
        self.tally.slots_given_back += rescued.len();
    }

    /// The sockets of a worker's own from which the primary accepts.
    fn places_rescued(&self, worker: WorkerId) -> Vec<Place> {
        let adopted = self.processes[&worker].application.adopted.iter();
        let places = adopted.map(|(listener, slot)| (*listener, *slot));
        places.filter(|it| self.kernel.sockets.get(it).is_some_and(|it| it.accepting)).collect()
    }

    /// All that the worker said has been received, and its end is closed.
    pub(super) fn end_up(&mut self, worker: WorkerId) {
        self.close_primary_end(worker);
        self.retrieve(worker, None, Then::Close(Input::ChannelClosed { worker }));
    }

    /// Something came over the channel that makes no sense, or the system failed it.
    pub(crate) fn break_channel(&mut self, worker: WorkerId) {
        self.finish_retrieval();
        self.trace(">", || format!("the channel to worker {worker} breaks"));
        self.end_up(worker);
    }

    fn close_primary_end(&mut self, worker: WorkerId) {
        self.kernel.close_all(Holder::Queue(worker));
        let link = &mut self.process(worker).link;
        link.primary_end = End::Closed;
        link.queue.clear();
        link.up.clear();
        if link.worker_end == End::Closed {
            link.down.clear();
            self.kernel.close_all(Holder::Down(worker));
        }
        self.kernel.close_all(Holder::Up(worker));
    }

    /// All that the worker said has been received, and its process has ended.
    pub(super) fn reap(&mut self, worker: WorkerId) {
        let process = self.process(worker);
        let Stage::Ended(status) = process.stage else { panic!("not ended: {worker}") };
        process.stage = Stage::Reaped;
        process.link.queue.clear();
        self.kernel.close_all(Holder::Queue(worker));
        self.retrieve(worker, None, Then::Close(Input::Exited { worker, status }));
    }

    /// What must hold whenever the primary's outputs are drained.
    fn audit(&mut self) {
        let in_flight = self.witness.connections_in_flight();
        let held = |(number, it): &(Number, &kernel::Connection)| {
            in_flight.contains(number) || it.copies.contains(&Holder::Primary)
        };
        let held = self.kernel.connections.iter().enumerate().filter(held).count();
        self.tally.budget_reached += usize::from(held >= self.config.budget());
        assert_eq!(self.primary.connections(), held, "one owner for each connection");
        for worker in self.primary.workers() {
            let untaken = self.witness.untaken(worker);
            // One of each listener beside the window.
            let most = self.config.window() + self.shared.len();
            assert!(untaken <= most, "worker {worker} holds {untaken} untaken");
        }
        assert!(in_flight.len() <= self.config.budget(), "no more is in flight than may be");
        for (worker, handoff, number) in self.outside() {
            let copies = &self.kernel.connections[number].copies;
            let owner = self.witness.in_flight.get(&handoff);
            assert_eq!(owner, Some(&(worker, number)), "it goes to whom it was handed");
            assert_eq!(*copies, [Holder::Primary], "what has not gone in is the primary's");
        }
        let accepts = self.kernel.sockets.values().any(|it| it.accepting);
        assert!(!accepts || held < self.config.budget(), "no more is accepted than may be");
        let kernels = |listener| self.shared[&listener] == Sharing::Kernel;
        let accepting = self.kernel.sockets.iter().filter(|(_, it)| it.accepting);
        let none = accepting.map(|(place, _)| place.0).all(|listener| !kernels(listener));
        assert!(none, "the workers accept");
        let held = |it: &&kernel::Connection| it.copies.contains(&Holder::Primary);
        let mut held = self.kernel.connections.iter().filter(held);
        let returned = held.all(|it| it.returned || !kernels(it.listener));
        assert!(returned, "what goes through the primary was given back");
        for (listener, spread) in &self.kernel.spread {
            let first = *spread == [SlotId(0)];
            let accepts = |slot| self.kernel.sockets.get(&(*listener, slot));
            let both = spread.iter().any(|slot| accepts(*slot).is_some_and(|it| it.accepting));
            assert!(!both || first, "where the kernel spreads, the workers accept");
        }
    }
}

/// What comes through a passage: connections, and no datagrams.
fn has_connections(address: &Address) -> bool {
    !matches!(address, Address::Udp(_))
}

/// How a listener is to be shared that is first asked for under `schedule`.
fn sharing_of(schedule: Schedule, address: &Address) -> Sharing {
    match (schedule, address) {
        (Schedule::Sharded, Address::Tcp(_) | Address::Udp(_)) => Sharing::Sharded,
        (Schedule::None, _) | (_, Address::Udp(_)) => Sharing::Kernel,
        _ => Sharing::HandedOver,
    }
}

/// The same for a socket that turned out to be one for datagrams.
fn sharing_of_datagrams(sharing: Sharing) -> Sharing {
    match sharing {
        Sharing::HandedOver | Sharing::Kernel => Sharing::Kernel,
        Sharing::Sharded => Sharing::Sharded,
    }
}

/// The core's right to decide about connection `number`.
pub(super) fn token(number: Number) -> HandleToken {
    HandleToken::new(HandleName(u64::try_from(number).expect("fits")))
}

pub(super) fn number_of(token: &HandleToken) -> Number {
    usize::try_from(token.name().0).expect("a number")
}
