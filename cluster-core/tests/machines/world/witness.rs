//! Watches what the primary tells its application, and knows what it should.

use std::collections::{BTreeMap, BTreeSet};

use cluster_core::primary::Event;
use cluster_core::{FarewellId, Grant, HandoffId, ListenerId, Primary, WorkerId};

use super::kernel::Number;

#[derive(Debug, Default)]
pub(crate) struct Witness {
    records: BTreeMap<WorkerId, Record>,
    farewells: BTreeMap<FarewellId, Vec<WorkerId>>,
    /// What the sharers of each listener were told to know.
    data: BTreeMap<ListenerId, Vec<u8>>,
    /// Connections handed to workers, of which the primary knows no more.
    pub(crate) in_flight: BTreeMap<HandoffId, (WorkerId, Number)>,
}

/// What was told of one worker.
#[derive(Debug, Default)]
struct Record {
    forked: bool,
    failed: bool,
    online: bool,
    draining: bool,
    disconnected: bool,
    exited: bool,
    /// It was asked to leave, or said so, before the first of its two ends.
    left: bool,
}

impl Witness {
    pub(crate) fn forked(&mut self, worker: WorkerId) {
        let before = self.records.insert(worker, Record::default());
        assert!(before.is_none(), "a worker's number is never used again");
    }

    /// The worker was asked to leave, or said that it does.
    pub(crate) fn left(&mut self, worker: WorkerId) {
        let record = self.records.get_mut(&worker).expect("forked");
        record.left |= !record.disconnected && !record.exited;
    }

    pub(crate) fn said_farewell(&mut self, id: FarewellId, awaited: Vec<WorkerId>) {
        self.farewells.insert(id, awaited);
    }

    /// How many farewells have not been told.
    pub(crate) fn farewells(&self) -> usize {
        self.farewells.len()
    }

    pub(crate) fn handed(&mut self, handoff: HandoffId, worker: WorkerId, number: Number) {
        let elsewhere = self.in_flight.values().any(|&(_, other)| other == number);
        assert!(!elsewhere, "a connection is in flight to one worker at a time");
        let before = self.in_flight.insert(handoff, (worker, number));
        assert!(before.is_none(), "a hand-off's name is never used again");
    }

    /// What one sharer was told to know, if anything, all later ones are.
    pub(crate) fn granted(&mut self, grant: &Grant) {
        let known = self.data.entry(grant.listener).or_default();
        assert!(known.is_empty() || *known == grant.data, "the first data are in force");
        known.clone_from(&grant.data);
    }

    /// The primary is told that it was taken, or taken back.
    pub(crate) fn settled(&mut self, worker: WorkerId, handoff: HandoffId) {
        let settled = self.in_flight.remove(&handoff);
        assert!(settled.is_some_and(|(to, _)| to == worker), "told once");
    }

    pub(crate) fn connections_in_flight(&self) -> BTreeSet<Number> {
        self.in_flight.values().map(|(_, number)| *number).collect()
    }

    pub(crate) fn gone(&mut self, worker: WorkerId) {
        self.in_flight.retain(|_, (to, _)| *to != worker);
    }

    /// How many connections `worker` was handed and is not known to have taken.
    pub(crate) fn untaken(&self, worker: WorkerId) -> usize {
        self.in_flight.values().filter(|(to, _)| *to == worker).count()
    }

    pub(crate) fn hear(&mut self, event: &Event, primary: &Primary) {
        match *event {
            Event::Fork { worker, .. } => {
                let record = self.record(worker);
                assert!(!std::mem::replace(&mut record.forked, true), "forked once");
                assert!(!record.draining && !record.failed, "fork is the first event");
            }
            Event::SpawnFailed { worker, .. } => {
                let record = self.record(worker);
                assert!(!std::mem::replace(&mut record.failed, true), "failed once");
                assert!(!record.forked && !record.draining, "the only event");
                assert_eq!(primary.state(worker), None, "no ghost");
            }
            Event::Online { worker } => {
                let record = self.living(worker);
                assert!(!std::mem::replace(&mut record.online, true), "online once");
            }
            Event::Listening { worker, .. } => {
                assert!(self.living(worker).online, "online first");
            }
            Event::Draining { worker } => {
                let record = self.living(worker);
                assert!(!std::mem::replace(&mut record.draining, true), "draining once");
            }
            Event::Disconnect { worker, exited_after_disconnect } => {
                let record = self.record(worker);
                assert!(record.forked, "forked first");
                assert!(!std::mem::replace(&mut record.disconnected, true), "disconnected once");
                record.ended(worker, exited_after_disconnect, primary);
            }
            Event::Exit { worker, exited_after_disconnect, .. } => {
                let record = self.record(worker);
                assert!(record.forked, "forked first");
                assert!(!std::mem::replace(&mut record.exited, true), "exited once");
                record.ended(worker, exited_after_disconnect, primary);
            }
            Event::AcceptFailed { .. } => {}
            Event::Farewell { id } => {
                let awaited = self.farewells.remove(&id).expect("told once");
                let gone = |worker| self.records.get(worker).is_some_and(Record::is_over);
                assert!(awaited.iter().all(gone), "told when all are gone");
            }
        }
    }

    fn record(&mut self, worker: WorkerId) -> &mut Record {
        self.records.get_mut(&worker).expect("an event is about a worker that was forked")
    }

    fn living(&mut self, worker: WorkerId) -> &mut Record {
        let record = self.record(worker);
        assert!(record.forked, "forked first");
        assert!(!record.exited && !record.disconnected, "nothing new after an end");
        record
    }
}

impl Record {
    fn is_over(&self) -> bool {
        self.failed || self.disconnected && self.exited
    }

    fn ended(&self, worker: WorkerId, exited_after_disconnect: bool, primary: &Primary) {
        assert_eq!(exited_after_disconnect, self.left, "the flag tells who left");
        let there = primary.workers().any(|it| it == worker);
        assert_eq!(there, !self.is_over(), "gone from the table before the second end is told");
    }
}
