//! The primary's host and its passages: what it puts in, what it sees taken, what it takes back.

use std::collections::VecDeque;
use std::net::SocketAddr;

use cluster_core::primary::Input;
use cluster_core::{HandleName, HandoffId, ListenerId, WorkerId};

use super::World;
use super::kernel::{Holder, Number};
use super::process::{End, Stage};

/// The host's book of one passage.
#[derive(Debug)]
pub(crate) struct Outgoing {
    passage: Number,
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
        let outgoing = Outgoing { passage, untold: VecDeque::new() };
        let before = self.outgoing.insert((worker, listener), outgoing);
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
            outgoing.untold.push_back(handoff);
            self.kernel.put(outgoing.passage, handoff, number);
        } else {
            // What it is told of its worker next makes the primary take it back by itself.
            let process = &self.processes[&worker];
            let ends = process.link.primary_end == End::Closed || process.stage == Stage::Reaped;
            assert!(ends, "a passage comes first");
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
        let mut taken = Vec::new();
        for (place, Outgoing { passage, untold }) in outgoing {
            assert_eq!(self.kernel.inside(passage), 0, "all is out");
            taken.extend(untold.into_iter().filter(|it| !back.contains(it)));
            match then {
                Then::Close(_) => self.kernel.close(passage, Holder::Primary),
                Then::GoOn => {
                    let empty = Outgoing { passage, untold: VecDeque::new() };
                    self.outgoing.insert(place, empty);
                }
            }
        }
        match then {
            // Before all else: there is no passage any more for what a worker with room might get.
            Then::Close(closed @ Input::Received { .. }) => {
                self.tell_primary(closed);
                self.tell_taken(worker, taken);
                self.tally.taken_back += back.len();
                self.tell_taken_back(worker, back);
            }
            Then::Close(end) => {
                self.tell_taken(worker, taken);
                self.tally.recovered += back.len();
                self.witness.gone(worker);
                self.tell_primary(end);
            }
            Then::GoOn => {
                self.tell_taken(worker, taken);
                self.tally.rescued_untaken += back.len();
                self.tell_taken_back(worker, back);
            }
        }
    }

    fn tell_taken_back(&mut self, worker: WorkerId, back: Vec<HandoffId>) {
        for handoff in back {
            self.witness.settled(worker, handoff);
            self.tell_primary(Input::TakenBack { worker, handoff });
        }
    }
}
