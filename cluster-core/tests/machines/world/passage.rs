//! Passages, as the kernel has them: queues of connections from the primary to one worker.

use std::collections::VecDeque;

use cluster_core::{HandoffId, ListenerId, WorkerId};

use super::kernel::{Holder, Kernel, Number, PASSAGES};

#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) worker: WorkerId,
    pub(crate) listener: ListenerId,
    /// Who has an end of it. The primary has both, and counts once.
    pub(crate) copies: Vec<Holder>,
    /// What nobody has taken out, with what it is called.
    pub(crate) queue: VecDeque<(HandoffId, Number)>,
}

impl Kernel {
    /// Opens a passage; its descriptor for the worker is to be sent.
    pub(crate) fn open_passage(&mut self, worker: WorkerId, listener: ListenerId) -> Number {
        let number = PASSAGES + self.passages_opened;
        self.passages_opened += 1;
        let copies = vec![Holder::Primary, Holder::Queue(worker)];
        let passage = Passage { worker, listener, copies, queue: VecDeque::new() };
        self.passages.insert(number, passage);
        number
    }

    /// Whether one more connection goes in.
    pub(crate) fn takes_in(&self, passage: Number) -> bool {
        !self.crammed && self.passage_room.is_none_or(|room| self.inside(passage) < room)
    }

    /// The primary puts a connection in, and has no copy of it any more.
    pub(crate) fn put(&mut self, passage: Number, handoff: HandoffId, connection: Number) {
        assert!(self.takes_in(passage), "refused");
        let it = self.passages.get_mut(&passage).expect("is open");
        assert!(it.copies.contains(&Holder::Primary), "put in by the primary");
        it.queue.push_back((handoff, connection));
        let inside = Holder::Passage(it.worker);
        self.pass(connection, Holder::Primary, inside);
    }

    /// `holder` takes out what was put in first, if there is something.
    pub(crate) fn take_out(
        &mut self,
        passage: Number,
        holder: Holder,
    ) -> Option<(HandoffId, Number)> {
        let it = self.passages.get_mut(&passage).expect("is open");
        assert!(it.copies.contains(&holder), "{holder:?} has no end of it");
        let inside = Holder::Passage(it.worker);
        let (handoff, connection) = it.queue.pop_front()?;
        self.pass(connection, inside, holder);
        Some((handoff, connection))
    }

    /// How many connections are in a passage.
    pub(crate) fn inside(&self, passage: Number) -> usize {
        self.passages.get(&passage).map_or(0, |it| it.queue.len())
    }

    /// How many passages `holder` has an end of.
    pub(crate) fn passages_of(&self, holder: Holder) -> usize {
        self.passages.values().filter(|it| it.copies.contains(&holder)).count()
    }

    /// A passage that nobody has an end of is gone, with all that is in it.
    pub(super) fn close_passages(&mut self) {
        let connections = &mut self.connections;
        self.passages.retain(|_, passage| {
            let gone = passage.copies.is_empty();
            for (_, number) in passage.queue.iter().filter(|_| gone) {
                connections[*number].copies.retain(|it| *it != Holder::Passage(passage.worker));
            }
            !gone
        });
    }
}
