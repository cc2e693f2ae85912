//! What applications and clients do, and what befalls them: one change each, then a drain.

use std::time::Duration;

use cluster_core::{
    Address, ExitStatus, ListenSpec, ListenerId, Primary, Schedule, Signal, WorkerId,
};

use super::kernel::{Holder, Number};
use super::process::{End, Stage};
use super::{World, words};

/// In the primary.
impl World {
    pub(crate) fn fork(&mut self) -> WorkerId {
        let worker = self.primary().fork().expect("there is room");
        self.trace(">", || format!("fork {worker}"));
        self.drain_primary();
        worker
    }

    /// A worker that runs, serves `addresses`, and has nothing left to do.
    pub(crate) fn fork_listening(&mut self, addresses: &[Address]) -> WorkerId {
        let worker = self.fork();
        self.drive();
        for address in addresses {
            self.listen(worker, address);
            self.drive();
        }
        worker
    }

    pub(crate) fn disconnect(&mut self, worker: WorkerId, kill_after: Option<Duration>) {
        self.trace(">", || format!("disconnect {worker}{}", patience(kill_after)));
        self.asked_to_leave(worker);
        let now = self.now;
        self.primary().disconnect(now, worker, kill_after).expect("a worker there is");
        self.drain_primary();
    }

    pub(crate) fn disconnect_all(&mut self, kill_after: Option<Duration>) {
        self.trace(">", || format!("disconnect all{}", patience(kill_after)));
        let all: Vec<_> = self.primary.workers().collect();
        all.iter().for_each(|worker| self.asked_to_leave(*worker));
        let now = self.now;
        let id = self.primary().disconnect_all(now, kill_after);
        self.witness.said_farewell(id, all);
        self.drain_primary();
    }

    pub(crate) fn kill(&mut self, worker: WorkerId, signal: Signal) {
        self.trace(">", || format!("kill {worker} {signal}"));
        self.primary().kill(worker, signal).expect("a worker there is");
        self.drain_primary();
    }

    pub(crate) fn cordon(&mut self, worker: WorkerId) {
        self.trace(">", || format!("cordon {worker}"));
        self.tally.cordons += usize::from(!self.primary.is_cordoned(worker));
        self.primary().cordon(worker).expect("a worker there is");
        self.drain_primary();
        assert!(self.primary.is_cordoned(worker));
    }

    pub(crate) fn uncordon(&mut self, worker: WorkerId) {
        self.trace(">", || format!("uncordon {worker}"));
        self.primary().uncordon(worker).expect("a worker there is");
        self.drain_primary();
        assert!(!self.primary.is_cordoned(worker));
    }

    pub(crate) fn set_schedule(&mut self, schedule: Schedule) {
        self.trace(">", || format!("schedule {schedule:?}"));
        let now = self.now;
        self.primary().set_schedule(now, schedule).expect("sensible");
        self.config = self.config.with_schedule(schedule).expect("sensible");
        self.drain_primary();
    }

    pub(crate) fn close_channel(&mut self, worker: WorkerId) {
        self.trace(">", || format!("close the channel to {worker}"));
        self.primary().close_channel(worker).expect("a worker there is");
        self.drain_primary();
    }

    /// The primary's process ends, and all that it holds is closed.
    pub(crate) fn kill_primary(&mut self) {
        self.trace(">", || "the primary dies".to_owned());
        for process in self.processes.values_mut() {
            process.link.primary_end = End::Closed;
            process.link.queue.clear();
            process.link.up.clear();
        }
        for &worker in self.processes.keys() {
            self.kernel.close_all(Holder::Queue(worker));
            self.kernel.close_all(Holder::Up(worker));
        }
        self.outgoing.clear();
        self.retrieval = None;
        self.rescues.clear();
        self.kernel.sockets.retain(|_, it| it.address.is_some());
        self.kernel.close_all(Holder::Primary);
    }

    /// The primary, when its host is free to hear a command.
    fn primary(&mut self) -> &mut Primary {
        self.finish_retrieval();
        &mut self.primary
    }

    /// Leaving counts only while there is somebody to ask.
    fn asked_to_leave(&mut self, worker: WorkerId) {
        let process = &self.processes[&worker];
        if process.link.primary_end == End::Open && process.stage != Stage::Reaped {
            self.witness.left(worker);
        }
    }
}

/// In a worker.
impl World {
    pub(crate) fn listen(&mut self, worker: WorkerId, address: &Address) {
        self.listen_as(worker, ListenSpec::new(address.clone()));
    }

    pub(crate) fn listen_as(&mut self, worker: WorkerId, spec: ListenSpec) {
        let data = words::data(&spec.data);
        self.trace(">", || format!("worker {worker} listens on {}{data}", spec.address));
        let process = self.process(worker);
        let request = process.agent.listen(spec);
        process.application.requests.insert(request);
        self.drain_agent(worker);
    }

    pub(crate) fn close_listener(&mut self, worker: WorkerId, listener: ListenerId) {
        self.trace(">", || format!("worker {worker} closes l{}", listener.0));
        let process = self.process(worker);
        process.application.listeners.retain(|it| *it != listener);
        self.close_own(worker, listener);
        self.process(worker).agent.close(listener);
        self.drain_agent(worker);
    }

    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.trace(">", || format!("worker {worker} disconnects"));
        self.process(worker).agent.disconnect();
        self.drain_agent(worker);
    }

    pub(crate) fn kill_itself(&mut self, worker: WorkerId, signal: Signal) {
        self.trace(">", || format!("worker {worker} kills itself by {signal}"));
        self.process(worker).agent.kill(signal);
        self.drain_agent(worker);
    }

    pub(crate) fn close_own_channel(&mut self, worker: WorkerId) {
        self.trace(">", || format!("worker {worker} closes its channel"));
        self.process(worker).agent.close_channel();
        self.drain_agent(worker);
    }

    pub(crate) fn crash(&mut self, worker: WorkerId) {
        self.end(worker, ExitStatus::Signal { signal: Signal::KILL, core_dumped: false });
    }
}

/// Outside.
impl World {
    /// A client connects; `None` if the kernel refuses it.
    pub(crate) fn connect(&mut self, address: &Address) -> Option<Number> {
        let number = self.kernel.connect(address)?;
        let verb = if let Address::Udp(_) = address { "sends" } else { "connects" };
        self.trace(">", || format!("client {} {verb}", words::letter(number)));
        Some(number)
    }
}

fn patience(kill_after: Option<Duration>) -> String {
    kill_after.map_or_else(String::new, |time| format!(", kill after {time:?}"))
}
