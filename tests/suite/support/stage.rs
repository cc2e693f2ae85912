//! A cluster, and all that is heard of it.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::SocketAddr;

use cluster_tests::script::{Options, Report, SCRIPT, Script, Step};

use super::outside::Forking;
use super::scene::Scene;
use super::{Client, at_once};
use crate::provider::cluster::{
    Cluster, Event, Events, ForkError, Handle, Message, Schedule, Settings, Signal, Worker,
    WorkerId,
};

/// A cluster whose workers are fixtures, and what is heard of it: one line an event.
///
/// Lines are as [`Event`] displays them, but that
/// * a process is `PID`, the first address to listen on that has a port is `A`, the second `B`,
///   and so on, with `udp:` in front where it is one;
/// * a message is `report WORKER REPORT`;
/// * `disconnect` says `exited_after_disconnect`, too.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    scene: Scene,
    events: Events,
    unasserted: VecDeque<String>,
    pids: BTreeMap<WorkerId, u32>,
    addresses: Vec<String>,
}

impl Stage {
    pub(super) fn new(cluster: Cluster, scene: Scene) -> Self {
        let events = cluster.events();
        let (unasserted, pids, addresses) = Default::default();
        Self { cluster, scene, events, unasserted, pids, addresses }
    }

    /// Starts a worker.
    pub(crate) async fn fork(&mut self) -> Worker {
        self.fork_by(Settings::new()).await.expect("the fixture can be started")
    }

    /// Starts a worker with settings of its own.
    pub(crate) async fn fork_by(&mut self, settings: Settings) -> Result<Worker, ForkError> {
        let _forking = Forking::new();
        self.cluster.fork_with(settings).await.inspect(|worker| self.note(worker))
    }

    /// Starts a worker that does this before it takes a message.
    pub(crate) async fn fork_with(&mut self, script: &Script) -> Worker {
        let forked = self.fork_by(settings_of(script)).await;
        forked.expect("the fixture can be started")
    }

    /// A worker that is online.
    pub(crate) async fn worker(&mut self) -> Worker {
        let worker = self.fork().await;
        let id = worker.id();
        self.hears([format!("fork {id} PID"), format!("online {id}")]).await;
        worker
    }

    /// So many workers that are online.
    pub(crate) async fn workers(&mut self, count: usize) -> Vec<Worker> {
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(self.fork().await);
        }
        let ids: Vec<_> = workers.iter().map(Worker::id).collect();
        let lines = ids.iter().flat_map(|id| [format!("fork {id} PID"), format!("online {id}")]);
        self.hears_unordered(lines).await;
        workers
    }

    /// A worker that listens, under number 0.
    pub(crate) async fn listener(&mut self, address: &str) -> (Worker, SocketAddr) {
        let worker = self.worker().await;
        let address = self.listen(&worker, 0, address).await;
        (worker, address)
    }

    /// A worker that listens, under number 0, and serves.
    pub(crate) async fn server(&mut self, address: &str) -> (Worker, SocketAddr) {
        let (worker, address) = self.listener(address).await;
        self.has(&worker, Step::Serve(0)).await;
        (worker, address)
    }

    /// Has a worker listen, or bind a UDP address, under this number.
    pub(crate) async fn listen(&mut self, worker: &Worker, slot: u8, name: &str) -> SocketAddr {
        self.listen_with(worker, slot, name, Options::default()).await
    }

    /// The same with options. The primary knows of it.
    pub(crate) async fn listen_with(
        &mut self,
        worker: &Worker,
        slot: u8,
        name: &str,
        options: Options,
    ) -> SocketAddr {
        let listens = self.try_listen(worker, slot, name, options).await;
        listens.unwrap_or_else(|report| panic!("cannot listen: {report:?}"))
    }

    /// The same, if it works.
    pub(crate) async fn try_listen(
        &mut self,
        worker: &Worker,
        slot: u8,
        name: &str,
        options: Options,
    ) -> Result<SocketAddr, Report> {
        match self.ask(worker, Step::ListenWith(slot, name.to_owned(), options)).await {
            Report::Listening(address) => {
                let letter = self.letter(&address);
                self.hears([format!("listening {} {letter}", worker.id())]).await;
                Ok(socket_address(&address))
            }
            report => Err(report),
        }
    }

    /// Has a worker listen, or bind a UDP address, by itself: the primary does not know of it.
    pub(crate) async fn listen_alone(
        &mut self,
        worker: &Worker,
        slot: u8,
        name: &str,
        options: Options,
    ) -> SocketAddr {
        let report = self.ask(worker, Step::ListenWith(slot, name.to_owned(), options)).await;
        let Report::Listening(address) = report else { panic!("cannot listen: {report:?}") };
        self.nothing_yet().await;
        socket_address(&address)
    }

    /// Has a worker do something.
    pub(crate) async fn tell(&self, worker: &Worker, step: Step) {
        worker.send(&step).await.expect("the worker is there");
    }

    /// Has a worker do something, and waits for its next message. Events before that are still
    /// to be asserted.
    pub(crate) async fn ask(&mut self, worker: &Worker, step: Step) -> Report {
        self.tell(worker, step).await;
        self.report(worker).await
    }

    /// Gives a worker a handle with which it is to do something, and waits for its next message.
    pub(crate) async fn hand(&mut self, worker: &Worker, step: Step, handle: Handle) -> Report {
        worker.send_handle(&step, handle).await.expect("the worker is there");
        self.report(worker).await
    }

    /// Has a worker do something that works.
    pub(crate) async fn has(&mut self, worker: &Worker, step: Step) {
        assert_eq!(self.ask(worker, step).await, Report::Done);
    }

    /// Asserts that clients, one after the other, are served by these workers: in this order if
    /// the primary deals connections out, and in any if the kernel does.
    pub(crate) async fn is_served(&self, address: SocketAddr, by: &[u32]) {
        for expected in by {
            self.was_served(Client::connect(address).await.served_by().await, *expected, by);
        }
    }

    /// Asserts that it was this worker's turn, or at least one of these was served.
    pub(crate) fn was_served(&self, by: u32, expected: u32, all: &[u32]) {
        match self.scene.schedule {
            Schedule::RoundRobin => assert_eq!(by, expected),
            _ => assert!(all.contains(&by), "{by} is none of {all:?}"),
        }
    }

    /// Waits until a worker has been handed so many connections that it has not accepted.
    pub(crate) async fn until_untaken(&mut self, worker: &Worker, count: usize) {
        while worker.load().await.expect("it is there").untaken < count {}
    }

    /// Stops a worker, and waits until it stands still.
    pub(crate) async fn stop(&mut self, worker: &Worker) {
        worker.kill(Signal::STOP);
        let pid = worker.pid().expect("it runs").0;
        while !stands_still(pid) {
            self.cluster.workers().await.expect("the cluster is there");
        }
    }

    /// The next message of a worker, decoded.
    pub(crate) async fn report(&mut self, from: &Worker) -> Report {
        self.message(from).await.decode().expect("a worker sends reports")
    }

    /// The next message of a worker.
    pub(crate) async fn message(&mut self, from: &Worker) -> Message {
        loop {
            let event = self.pump().await;
            let line = self.line(&event);
            match event {
                Event::Message { worker, message } if worker == from.id() => return message,
                Event::Exit { worker, .. } if worker == from.id() => panic!("{line}"),
                _ => self.unasserted.push_back(line),
            }
        }
    }

    /// The next event of any kind, which nobody asserts any more.
    pub(crate) async fn next(&mut self) -> Event {
        assert!(self.unasserted.is_empty(), "not yet asserted: {:?}", self.unasserted);
        self.pump().await
    }

    /// Asserts what comes next, in this order.
    pub(crate) async fn hears(&mut self, lines: impl IntoIterator<Item = impl Into<String>>) {
        for expected in lines {
            assert_eq!(self.next_line().await, expected.into());
        }
    }

    /// Asserts what comes next, in any order.
    pub(crate) async fn hears_unordered(
        &mut self,
        lines: impl IntoIterator<Item = impl Into<String>>,
    ) {
        self.hears_among(lines, &[]).await;
    }

    /// Asserts that all of `lines` come next, in any order, and with them any of `others`.
    pub(crate) async fn hears_among(
        &mut self,
        lines: impl IntoIterator<Item = impl Into<String>>,
        others: &[&str],
    ) {
        let mut expected: Vec<String> = lines.into_iter().map(Into::into).collect();
        while !expected.is_empty() {
            let line = self.next_line().await;
            match expected.iter().position(|it| *it == line) {
                Some(place) => drop(expected.swap_remove(place)),
                None => assert!(others.contains(&&*line), "heard {line:?}, expected {expected:?}"),
            }
        }
    }

    /// Asserts that a worker's two ends come next. Usually its channel ends first, but for a
    /// moment another process that is being started may still hold it.
    pub(crate) async fn hears_end(&mut self, worker: &Worker, status: &str, asked: bool) {
        self.hears_unordered(ends(worker, status, asked)).await;
    }

    /// Asserts that a worker's two ends come next, whatever its status.
    pub(crate) async fn hears_any_end(&mut self, worker: &Worker) {
        let id = worker.id();
        let mut ends = vec![self.next_line().await, self.next_line().await];
        ends.sort();
        assert!(ends[0].starts_with(&format!("disconnect {id} ")), "{ends:?}");
        assert!(ends[1].starts_with(&format!("exit {id} ")), "{ends:?}");
    }

    /// Skips what a worker has to say, until both of its ends have come, each once.
    pub(crate) async fn hears_until_ended(&mut self, worker: &Worker) {
        let (mut disconnects, mut exits) = (0, 0);
        while disconnects + exits < 2 {
            let event = self.next().await;
            assert_eq!(event.worker(), Some(worker.id()), "{event}");
            match event {
                Event::Disconnect { .. } => disconnects += 1,
                Event::Exit { .. } => exits += 1,
                Event::Error { .. } => panic!("{event}"),
                _ => {}
            }
        }
        assert_eq!((disconnects, exits), (1, 1));
    }

    /// Asserts that a worker that was asked to leave, and has nothing under way, leaves.
    pub(crate) async fn hears_leave(&mut self, worker: &Worker) {
        self.hears([format!("draining {}", worker.id())]).await;
        self.hears_end(worker, "code=0 signal=-", true).await;
    }

    /// Asks all workers to leave, and asserts that these are all, and all leave.
    pub(crate) async fn disconnect(&mut self, workers: impl IntoIterator<Item = &Worker>) {
        self.cluster.disconnect().await.expect("the cluster is there");
        let lines = workers.into_iter().flat_map(|it| {
            let draining = format!("draining {}", it.id());
            [draining].into_iter().chain(ends(it, "code=0 signal=-", true))
        });
        self.hears_unordered(lines.collect::<Vec<_>>()).await;
    }

    /// Asserts that all has been heard, and that there are no workers that could say more.
    pub(crate) async fn nothing_else(mut self) {
        let workers = self.cluster.workers().await.expect("the cluster is there");
        let workers: Vec<_> = workers.iter().map(Worker::id).collect();
        assert_eq!(workers, [], "workers left");
        self.nothing_yet().await;
    }

    /// Asserts that all has been heard that there is by now.
    pub(crate) async fn nothing_yet(&mut self) {
        // Whatever the cluster knew before it has answered this is published.
        self.cluster.workers().await.expect("the cluster is there");
        if let Some(Some(event)) = at_once(self.events.next()).await {
            let line = self.line(&event);
            self.unasserted.push_back(line);
        }
        assert!(self.unasserted.is_empty(), "heard, too: {:?}", self.unasserted);
    }

    /// Lets go of the cluster, and hears it to its end: events as they display themselves.
    pub(crate) async fn hears_out(self) -> Vec<String> {
        let Self { cluster, mut events, pids, scene: Scene { record, .. }, .. } = self;
        drop(cluster);
        let mut lines = Vec::new();
        while let Some(event) = events.next().await {
            record.saw(&event.to_string());
            lines.push(event.to_string());
            if let Event::Exit { worker, .. } = event {
                record.ended(pids[&worker]);
            }
        }
        lines
    }

    async fn next_line(&mut self) -> String {
        match self.unasserted.pop_front() {
            Some(line) => line,
            None => {
                let event = self.pump().await;
                self.line(&event)
            }
        }
    }

    async fn pump(&mut self) -> Event {
        let event = self.events.next().await.expect("the cluster is there");
        self.scene.record.saw(&event.to_string());
        match &event {
            Event::Fork { worker, pid } => {
                self.pids.insert(*worker, pid.0);
                self.scene.record.started(pid.0);
            }
            Event::Exit { worker, .. } => self.scene.record.ended(self.pids[worker]),
            _ => {}
        }
        event
    }

    fn note(&self, worker: &Worker) {
        if let (Some(pid), false) = (worker.pid(), worker.is_dead()) {
            self.scene.record.started(pid.0);
        }
    }

    fn line(&mut self, event: &Event) -> String {
        match event {
            Event::Fork { worker, .. } => format!("fork {worker} PID"),
            Event::Listening { worker, address } => {
                format!("listening {worker} {}", self.letter(&address.to_string()))
            }
            Event::Message { worker, message } => match message.decode::<Report>() {
                Ok(Report::Listening(address)) => {
                    format!("report {worker} Listening {}", self.letter(&address))
                }
                Ok(report) => format!("report {worker} {report:?}"),
                Err(_) => event.to_string(),
            },
            Event::Disconnect { worker, exited_after_disconnect } => {
                format!("disconnect {worker} exited_after_disconnect={exited_after_disconnect}")
            }
            event => event.to_string(),
        }
    }

    /// The name of an address in lines.
    fn letter(&mut self, address: &str) -> String {
        if address.starts_with("unix:") {
            return address.to_owned();
        }
        let place = self.addresses.iter().position(|it| it == address).unwrap_or_else(|| {
            self.addresses.push(address.to_owned());
            self.addresses.len() - 1
        });
        let letter = char::from(b'A' + u8::try_from(place).expect("few addresses"));
        match address.starts_with("udp:") {
            true => format!("udp:{letter}"),
            false => letter.to_string(),
        }
    }
}

/// Whether all threads of a process are stopped. (proc(5): the third field of `stat`.)
fn stands_still(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    threads.into_iter().all(|thread| {
        let stat = thread.and_then(|it| fs::read_to_string(it.path().join("stat")));
        stat.is_ok_and(|it| it.rsplit(") ").next().is_some_and(|it| it.starts_with('T')))
    })
}

/// An address of TCP or UDP.
fn socket_address(address: &str) -> SocketAddr {
    address.trim_start_matches("udp:").parse().expect("it has a port")
}

/// The settings of a worker that does this before it takes a message.
pub(crate) fn settings_of(script: &Script) -> Settings {
    Settings::new().env(SCRIPT, serde_json::to_string(script).expect("a script has a JSON form"))
}

/// The lines of a worker's two ends.
fn ends(worker: &Worker, status: &str, asked: bool) -> [String; 2] {
    let id = worker.id();
    [
        format!("disconnect {id} exited_after_disconnect={asked}"),
        format!("exit {id} {status} exited_after_disconnect={asked}"),
    ]
}
