//! The primary's host and its passages: what it puts in, what it sees taken, what it takes back.

use std::collections::VecDeque;
use std::net::SocketAddr;

use cluster_core::primary::Input;
use cluster_core::{HandleName, HandoffId, ListenerId, WorkerId};

use super::kernel::{Holder, Number};
use super::process::{End, Stage};
use super::{World, words};

/// The host's book of one passage.
#[derive(Debug)]
pub(crate) struct Outgoing {
    passage: Number,
    /// What is to be put in.
    outside: VecDeque<(HandoffId, Number)>,
    /// What was put in, and what nobody knows to be taken.
    untold: VecDeque<HandoffId>,
}

/// The host takes out of passages what a worker has left there, one by one; the worker may be
/// quicker. What is to be told waits until they are empty.
#[derive(Debug)]
pub(crate) struct Retrieval {
    worker: WorkerId,
    outgoing: Vec<((WorkerId, ListenerId), Outgoing)>,
    back: Vec<HandoffId>,
    then: Then,
}

/// What comes when passages are empty.
#[derive(Debug)]
pub(crate) enum Then {
    /// They are closed, and this is told.
    Close(Input),
    /// They stay open.
    GoOn,
}

impl World {
    /// A passage for a listener of a worker, with which its grant begins.
    pub(super) fn open_passage(&mut self, worker: WorkerId, listener: ListenerId) -> Number {
        let passage = self.kernel.open_passage(worker, listener);
        let before = self.outgoing.insert((worker, listener), Outgoing::new(passage));
        assert!(before.is_none(), "the one before was closed before the next grant");
        passage
    }

    pub(super) fn hand(
        &mut self,
        worker: WorkerId,
        listener: ListenerId,
        handoff: HandoffId,
        connection: HandleName,
        peer: Option<SocketAddr>,
    ) {
        let number = usize::try_from(connection.0).expect("a number");
        let connection = &self.kernel.connections[number];
        assert!(connection.reader.is_none(), "a connection that is read is not handed out");
        assert_eq!(peer, Some(connection.peer), "the right other end");
        assert!(connection.copies.contains(&Holder::Primary), "the primary has a copy");
        self.witness.handed(handoff, worker, number);
        if let Some(outgoing) = self.outgoing.get_mut(&(worker, listener)) {
            outgoing.outside.push_back((handoff, number));
            if outgoing.outside.len() == 1 && !self.flush(worker).contains(&number) {
                self.tally.refused += 1;
                let name = words::letter(number);
                self.trace(">", || format!("{name} does not go into the passage to {worker}"));
            }
        } else {
            // What it is told of its worker next makes the primary take it back by itself.
            let process = &self.processes[&worker];
            let ends = process.link.primary_end == End::Closed || process.stage == Stage::Reaped;
            assert!(ends, "a passage comes first");
        }
    }

    /// Puts into a worker's passages what there is, as far as they take it: what goes in is out of
    /// the primary's hands.
    fn flush(&mut self, worker: WorkerId) -> Vec<Number> {
        let mut sent = Vec::new();
        for (_, it) in self.outgoing.iter_mut().filter(|((of, _), _)| *of == worker) {
            while self.kernel.takes_in(it.passage)
                && let Some((handoff, number)) = it.outside.pop_front()
            {
                it.untold.push_back(handoff);
                self.kernel.put(it.passage, handoff, number);
                sent.push(number);
            }
        }
        sent
    }

    /// The workers for which there is something that their passages did not take, and do now.
    pub(super) fn unsent(&self) -> impl Iterator<Item = WorkerId> {
        let unsent = |it: &Outgoing| !it.outside.is_empty() && self.kernel.takes_in(it.passage);
        let unsent = self.outgoing.iter().filter(move |(_, it)| unsent(it));
        unsent.map(|((worker, _), _)| *worker)
    }

    /// The connections that are on their way to workers, and still in the primary's hands.
    pub(crate) fn outside(&self) -> impl Iterator<Item = (WorkerId, HandoffId, Number)> {
        self.outgoing.iter().flat_map(|((worker, _), it)| {
            it.outside.iter().map(|(handoff, number)| (*worker, *handoff, *number))
        })
    }

    pub(super) fn send_again(&mut self, worker: WorkerId) {
        let sent = self.flush(worker);
        self.tally.sent_late += sent.len();
        for number in sent {
            let name = words::letter(number);
            self.trace(">", || format!("{name} goes into the passage to {worker}"));
        }
    }

    /// The workers that have taken something that the primary does not know of.
    pub(super) fn takers(&self) -> impl Iterator<Item = WorkerId> {
        let took = |it: &Outgoing| it.untold.len() > self.kernel.inside(it.passage);
        let takers = self.outgoing.iter().filter(move |(_, it)| took(it));
        takers.map(|((worker, _), _)| *worker)
    }

    /// The host looks how much is still in a worker's passages.
    pub(super) fn look(&mut self, worker: WorkerId) {
        let mut taken = Vec::new();
        for (_, it) in self.outgoing.iter_mut().filter(|((of, _), _)| *of == worker) {
            let count = it.untold.len() - self.kernel.inside(it.passage);
            taken.extend(it.untold.drain(..count));
        }
        self.tell_taken(worker, taken);
    }

    fn tell_taken(&mut self, worker: WorkerId, taken: Vec<HandoffId>) {
        for handoff in taken {
            self.witness.settled(worker, handoff);
            self.tell_primary(Input::Taken { worker, handoff });
        }
    }

    /// Begins to take back what is in a worker's passages, or in that of one listener.
    pub(super) fn retrieve(&mut self, worker: WorkerId, of: Option<ListenerId>, then: Then) {
        assert!(self.retrieval.is_none(), "one at a time");
        let concerned = |(owner, listener): &&(WorkerId, ListenerId)| {
            *owner == worker && of.is_none_or(|it| it == *listener)
        };
        let places: Vec<_> = self.outgoing.keys().filter(concerned).copied().collect();
        let remove = |place| Some((place, self.outgoing.remove(&place)?));
        let outgoing: Vec<_> = places.into_iter().filter_map(remove).collect();
        let left: usize = outgoing.iter().map(|(_, it)| self.kernel.inside(it.passage)).sum();
        self.retrieval = Some(Retrieval { worker, outgoing, back: Vec::new(), then });
        if left == 0 {
            self.complete_retrieval();
        }
    }

    /// The host takes one connection back, or finds that there is none.
    pub(super) fn take_back(&mut self) {
        let retrieval = self.retrieval.as_mut().expect("there is one");
        for (_, outgoing) in &retrieval.outgoing {
            if let Some((handoff, _)) = self.kernel.take_out(outgoing.passage, Holder::Primary) {
                return retrieval.back.push(handoff);
            }
        }
        self.complete_retrieval();
    }

    /// The host does nothing else before it has taken all back.
    pub(crate) fn finish_retrieval(&mut self) {
        while self.retrieval.is_some() {
            self.take_back();
        }
    }

    fn complete_retrieval(&mut self) {
        let Some(Retrieval { worker, outgoing, back, then }) = self.retrieval.take() else {
            return;
        };
        let (mut taken, mut unsent) = (Vec::new(), Vec::new());
        for (place, Outgoing { passage, outside, untold }) in outgoing {
            assert_eq!(self.kernel.inside(passage), 0, "all is out");
            taken.extend(untold.into_iter().filter(|it| !back.contains(it)));
            unsent.extend(outside.into_iter().map(|(handoff, _)| handoff));
            match then {
                Then::Close(_) => self.kernel.close(passage, Holder::Primary),
                Then::GoOn => drop(self.outgoing.insert(place, Outgoing::new(passage))),
            }
        }
        match then {
            // Before all else: there is no passage any more for what a worker with room might get.
            Then::Close(closed @ Input::Received { .. }) => {
                self.tell_primary(closed);
                self.tell_taken(worker, taken);
                self.tally.taken_back += back.len();
                self.tally.unsent_taken_back += unsent.len();
                self.tell_taken_back(worker, back.into_iter().chain(unsent));
            }
            Then::Close(end) => {
                self.tell_taken(worker, taken);
                self.tally.recovered += back.len();
                self.tally.unsent_recovered += unsent.len();
                self.witness.gone(worker);
                self.tell_primary(end);
            }
            Then::GoOn => {
                self.tell_taken(worker, taken);
                self.tally.rescued_untaken += back.len();
                self.tally.unsent_rescued += unsent.len();
                self.tell_taken_back(worker, back.into_iter().chain(unsent));
            }
        }
    }

    fn tell_taken_back(&mut self, worker: WorkerId, back: impl Iterator<Item = HandoffId>) {
        for handoff in back {
            self.witness.settled(worker, handoff);
            self.tell_primary(Input::TakenBack { worker, handoff });
        }
    }
}

impl Outgoing {
    const fn new(passage: Number) -> Self {
        Self { passage, outside: VecDeque::new(), untold: VecDeque::new() }
    }
}
