//! The host's part in a worker, and its application's.

use cluster_core::agent::{Action, Event, Input};
use cluster_core::{
    Address, ExitStatus, ListenerId, Output, Signal, ToPrimary, ToWorker, WorkerId,
};

use super::kernel::{self, Holder, Number, Place};
use super::passage::Passage;
use super::primary_host::{number_of, token};
use super::process::{End, Stage, Work};
use super::{World, words};

impl World {
    /// Drains a worker's agent. What comes after the channel is to be closed waits for that.
    pub(crate) fn drain_agent(&mut self, worker: WorkerId) {
        loop {
            let process = self.process(worker);
            if !process.lives() {
                return;
            }
            let output = process.agent.poll_output();
            if let Output::Wait(deadline) = output {
                assert_eq!(deadline, None, "an agent has no deadlines");
                assert_eq!(process.agent.poll_output(), Output::Wait(None), "polled again");
                return self.audit_agent(worker);
            }
            self.trace_agent(worker, &output);
            let process = self.process(worker);
            if process.closes_channel() {
                process.works.push_back(Work::Later(output));
            } else {
                self.carry_out_in(worker, output);
            }
        }
    }

    pub(super) fn tell_agent(&mut self, worker: WorkerId, input: Input) {
        self.process(worker).agent.handle_input(input);
        self.drain_agent(worker);
    }

    fn trace_agent(&mut self, worker: WorkerId, output: &Output<Action, Event>) {
        let who = format!("worker {worker}");
        self.trace(&who, || match output {
            Output::Action(action) => words::agent_action(action),
            Output::Event(event) => words::agent_event(event),
            Output::Wait(_) => unreachable!("nothing to say"),
        });
    }

    fn carry_out_in(&mut self, worker: WorkerId, output: Output<Action, Event>) {
        let process = self.processes.get_mut(&worker).expect("there is");
        match output {
            Output::Action(Action::Send { message, handle }) => {
                assert_eq!(message.handles(), usize::from(handle.is_some()), "as it says");
                let number = handle.as_ref().map(number_of);
                process.works.push_back(Work::Say((message, number)));
            }
            Output::Action(Action::Close { connection }) => {
                let number = number_of(&connection);
                self.kernel.close(number, Holder::Worker(worker));
                if let Some(connection) = self.kernel.connections.get_mut(number) {
                    connection.dropped |= connection.taken_by == Some(worker);
                }
            }
            Output::Action(Action::Adopt { listener, socket }) => {
                let (of, slot) = kernel::place_of(number_of(&socket)).expect("a socket");
                assert_eq!(of, listener, "the right socket");
                let before = process.application.adopted.insert(listener, slot);
                assert_eq!(before, None, "adopted once");
            }
            Output::Action(Action::AdoptPassage { listener, passage }) => {
                let number = number_of(&passage);
                let Passage { worker: to, listener: of, .. } = self.kernel.passages[&number];
                assert_eq!((to, of), (worker, listener), "the right passage");
                let before = process.application.passages.insert(listener, number);
                assert_eq!(before, None, "adopted once");
            }
            Output::Action(Action::WatchIdle) => process.application.watched = true,
            Output::Action(Action::CloseChannel) => process.works.push_back(Work::CloseChannel),
            Output::Action(Action::Exit { code }) => self.end(worker, ExitStatus::Code(code)),
            Output::Action(Action::Raise { signal }) => self.signal(worker, signal),
            Output::Event(event) => {
                if let Event::Closed { listener } = event {
                    self.close_own(worker, listener);
                }
                self.process(worker).application.hear(event);
            }
            Output::Wait(_) => unreachable!("nothing to do"),
        }
    }

    /// The worker's host does the next thing.
    pub(super) fn work(&mut self, worker: WorkerId) {
        let process = self.process(worker);
        match process.works.pop_front().expect("something to do") {
            Work::Say((message, number)) => {
                let heard = process.link.primary_end != End::Closed;
                if heard {
                    process.link.up.push_back((message, number));
                }
                match number {
                    Some(number) if heard => {
                        self.kernel.pass(number, Holder::Worker(worker), Holder::Up(worker));
                    }
                    Some(number) => self.kernel.close(number, Holder::Worker(worker)),
                    None => {}
                }
            }
            Work::CloseChannel => self.close_worker_end(worker),
            Work::Later(output) => self.carry_out_in(worker, output),
        }
    }

    pub(super) fn read_down(&mut self, worker: WorkerId) {
        let process = self.process(worker);
        let (message, number) = process.link.down.pop_front().expect("said");
        let blind = number.is_some() && process.application.blind > 0;
        process.application.blind -= usize::from(blind);
        match number {
            Some(number) if blind => self.kernel.close(number, Holder::Down(worker)),
            Some(number) => self.kernel.pass(number, Holder::Down(worker), Holder::Worker(worker)),
            None => {}
        }
        let handle = number.filter(|_| !blind).map(token);
        let announced = matches!(message, ToWorker::Passage { .. }) && handle.is_some();
        self.process(worker).announced = announced;
        self.tell_agent(worker, Input::Received { message, handle });
    }

    /// The worker sees the end of the channel, and closes its own end when all is said.
    pub(super) fn end_down(&mut self, worker: WorkerId) {
        let process = self.process(worker);
        process.link.end_seen = true;
        self.tell_agent(worker, Input::ChannelClosed);
        let process = self.process(worker);
        if process.lives() && !process.closes_channel() {
            process.works.push_back(Work::CloseChannel);
        }
    }

    fn close_worker_end(&mut self, worker: WorkerId) {
        self.process(worker).link.worker_end = End::Closed;
        self.drop_unread(worker);
    }

    /// The grandchild that holds the worker's end, if there is one, ends.
    pub(crate) fn release(&mut self, worker: WorkerId) {
        self.process(worker).link.held = false;
        self.drop_unread(worker);
    }

    /// What nobody can read any more is gone.
    fn drop_unread(&mut self, worker: WorkerId) {
        let link = &mut self.process(worker).link;
        if link.worker_end == End::Closed && !link.held {
            link.down.clear();
            self.kernel.close_all(Holder::Down(worker));
        }
    }

    /// The application takes a connection out of a passage, and may give it back.
    pub(super) fn take(&mut self, worker: WorkerId, passage: Number) {
        let listener = self.kernel.passages[&passage].listener;
        let taken = self.kernel.take_out(passage, Holder::Worker(worker));
        let (_, number) = taken.expect("something to take");
        self.tally.raced += usize::from(!self.outgoing.contains_key(&(worker, listener)));
        let name = words::letter(number);
        self.trace(">", || format!("worker {worker} takes {name} from l{}", listener.0));
        self.kernel.connections[number].handed = true;
        self.has(worker, listener, number, true);
    }

    /// The application accepts from a socket that it has itself, and may give back what it
    /// accepted.
    pub(super) fn accept_own(&mut self, worker: WorkerId, place: Place) {
        let number = self.kernel.accept(place, Holder::Worker(worker));
        let is_datagram = matches!(self.kernel.sockets[&place].address, Some(Address::Udp(_)));
        self.tally.accepted_by_workers += 1;
        let name = words::letter(number);
        self.trace(">", || format!("worker {worker} accepts {name} from {}", words::place(place)));
        self.kernel.connections[number].handed = false;
        self.has(worker, place.0, number, !is_datagram);
    }

    /// The application has a connection: it looks at it, or gives it back.
    fn has(&mut self, worker: WorkerId, of: ListenerId, number: Number, returnable: bool) {
        let connection = &mut self.kernel.connections[number];
        connection.taken_by = Some(worker);
        let (peer, handed) = (Some(connection.peer), connection.handed);
        let process = self.process(worker);
        process.application.appetite -= 1;
        if process.application.returns > 0 && returnable {
            process.application.returns -= 1;
            process.agent.finished(u64::from(handed));
            process.agent.give_back(of, token(number), peer);
            return self.drain_agent(worker);
        }
        process.application.serving.push_back(number);
        self.kernel.read(number, worker);
    }

    /// The application closes its copy of a listener's socket, if it has one, and will close
    /// its end of the passage.
    pub(super) fn close_own(&mut self, worker: WorkerId, listener: ListenerId) {
        let application = &mut self.process(worker).application;
        application.dropping.extend(application.passages.remove(&listener));
        if let Some(slot) = application.adopted.remove(&listener) {
            self.kernel.close(kernel::socket((listener, slot)), Holder::Worker(worker));
        }
    }

    pub(super) fn let_go(&mut self, worker: WorkerId) {
        for passage in std::mem::take(&mut self.process(worker).application.dropping) {
            self.kernel.close(passage, Holder::Worker(worker));
        }
    }

    /// What must hold whenever an agent's outputs are drained and carried out: each descriptor
    /// of the process is in somebody's hands.
    fn audit_agent(&self, worker: WorkerId) {
        let process = &self.processes[&worker];
        if process.works.iter().any(|work| matches!(work, Work::Later(_))) {
            return;
        }
        let application = &process.application;
        let sockets = self.kernel.sockets_of(Holder::Worker(worker));
        let adopted = application.adopted.iter().map(|(listener, slot)| (*listener, *slot));
        assert!(sockets.iter().copied().eq(adopted), "{sockets:?} are not the application's");
        assert_eq!(application.cordoned, process.agent.is_cordoned(), "as it was told");
        let announced = usize::from(process.announced && process.agent.is_connected());
        let own = application.passages.len() + application.dropping.len() + announced;
        let ends = self.kernel.passages_of(Holder::Worker(worker));
        assert_eq!(ends, own, "each end of a passage is somebody's");
        let returns = |work: &&Work| matches!(work, Work::Say((ToPrimary::Returned { .. }, _)));
        let expected = process.works.iter().filter(returns).count() + application.serving.len();
        let held = self.kernel.copies_of(Holder::Worker(worker));
        assert_eq!(held, expected, "each connection is somebody's");
    }

    /// The application answers a client.
    pub(super) fn finish(&mut self, worker: WorkerId) {
        let number = self.process(worker).application.serving.pop_front().expect("serves");
        self.kernel.finish(number, worker);
        let name = words::letter(number);
        self.trace(">", || format!("worker {worker} serves {name}"));
        let handed = self.kernel.connections[number].handed;
        self.process(worker).agent.finished(u64::from(handed));
        self.drain_agent(worker);
    }

    pub(super) fn idle(&mut self, worker: WorkerId) {
        self.process(worker).application.watched = false;
        self.tell_agent(worker, Input::Idle);
    }

    /// A signal reaches a process.
    pub(super) fn signal(&mut self, worker: WorkerId, signal: Signal) {
        let process = self.process(worker);
        assert_ne!(process.stage, Stage::Asked, "a process that is signalled has started");
        if process.lives() {
            self.end(worker, ExitStatus::Signal { signal, core_dumped: false });
        }
    }

    /// A process ends, and all that it holds is closed.
    pub(crate) fn end(&mut self, worker: WorkerId, status: ExitStatus) {
        self.trace(">", || format!("process {worker} ends, {status}"));
        let process = self.process(worker);
        assert!(process.lives() && process.stage != Stage::Asked, "a process ends once");
        process.stage = Stage::Ended(status);
        process.works.clear();
        process.application.adopted.clear();
        process.application.passages.clear();
        process.application.dropping.clear();
        self.statuses.push(status);
        self.kernel.close_all(Holder::Worker(worker));
        self.close_worker_end(worker);
    }
}
