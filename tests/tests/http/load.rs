//! Many connections at a time, and somebody who kills workers meanwhile.

use std::collections::BTreeSet;
use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::client::{Connection, Target, is_cut};
use crate::example::{Example, Signal, send};
use crate::transcript::{End, ends, serving};

/// Does `visit` so many times in all, so many at a time.
pub(crate) fn crowd(total: usize, at_a_time: usize, visit: impl Fn() + Sync) {
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while begun.fetch_add(1, SeqCst) < total {
                    visit();
                }
            });
        }
    });
}

/// A number from the environment, or this one.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |it| it.parse().unwrap_or_else(|_| panic!("{name}={it} is no number")))
}

/// A storm: clients come and go, and after every so many a random worker is killed.
pub(crate) struct Storm<'a> {
    example: &'a Example,
    target: &'a Target,
    /// A kill comes after so many connections.
    every: usize,
    killer: Mutex<Killer>,
    /// Kills that have begun, whether the victim knows it yet or not.
    kills: AtomicUsize,
    finished: AtomicUsize,
    cut: AtomicUsize,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(example: &'a Example, target: &'a Target, every: usize) -> Self {
        let killer = Mutex::new(Killer { random: Random::new(), killed: BTreeSet::new() });
        let [kills, finished, cut] = [const { AtomicUsize::new(0) }; 3];
        Self { example, target, every, killer, kills, finished, cut }
    }

    /// Does [`visit`](Self::visit) so many times in all, so many at a time, and sums up: each
    /// worker that was killed has ended so, and no other has ended.
    pub(crate) fn rage(self, total: usize, at_a_time: usize) {
        crowd(total, at_a_time, || self.visit());
        let Killer { killed, .. } = self.killer.into_inner().expect("no client has failed");
        let ends = self.example.wait("the last death", |lines| {
            let ends = ends(lines);
            (ends.len() >= killed.len()).then_some(ends)
        });
        assert!(ends.keys().eq(&killed), "killed {killed:?}, but {ends:?}");
        assert!(ends.values().all(|end| *end == End::killed(false)), "{ends:?}");
        let (finished, kills, cut) =
            (self.finished.into_inner(), killed.len(), self.cut.into_inner());
        println!("storm: connections={finished} kills={kills} failed={cut} hung=0");
        assert_eq!((finished, kills), (total, total / self.every));
        assert!(cut <= kills * at_a_time, "a death cuts those at most that were there");
    }

    /// One connection with two requests. The first answer tells which worker has it.
    ///
    /// It may be cut only by a death: some worker was killed before the cut whose end had not
    /// been told when the connection began, and it is the very worker, where that is known.
    /// Anything else (refused, hung, malformed, answered by another) is a failure.
    fn visit(&self) {
        let deaths = self.deaths();
        let (worker, result) = self.two_requests();
        if let Err(error) = result {
            let kills = self.kills.load(SeqCst);
            assert!(is_cut(&error), "{error} (worker {worker:?})");
            assert!(kills > deaths, "cut though no worker was dying: {error} (worker {worker:?})");
            if let Some(worker) = worker {
                let killer = self.killer.lock().expect("no other client has failed");
                assert!(killer.killed.contains(&worker), "worker {worker} cut it, and lives");
            }
            self.cut.fetch_add(1, SeqCst);
        }
        if (self.finished.fetch_add(1, SeqCst) + 1).is_multiple_of(self.every) {
            self.kill_one();
        }
    }

    fn two_requests(&self) -> (Option<u32>, io::Result<()>) {
        let mut connection = match Connection::open(self.target) {
            Ok(connection) => connection,
            Err(error) => panic!("the listener is the primary's, and that lives: {error}"),
        };
        let first = match connection.request() {
            Ok(server) => server,
            Err(error) => return (None, Err(error)),
        };
        let second = connection.last_request();
        if let Ok(second) = second {
            assert_eq!(second, first, "a connection has one worker");
        }
        (Some(first.worker().0), second.map(drop))
    }

    /// Kills a random one of the workers that listen, of which two stay.
    fn kill_one(&self) {
        let mut killer = self.killer.lock().expect("no other client has failed");
        let victims = self.example.wait("workers to kill", |lines| {
            let mut alive = serving(lines);
            alive.retain(|id, _| !killer.killed.contains(id));
            (alive.len() > 2).then_some(alive)
        });
        let place = killer.random.below(victims.len());
        let (id, pid) = victims.into_iter().nth(place).expect("there are so many");
        killer.killed.insert(id);
        self.kills.fetch_add(1, SeqCst);
        send(pid, Signal::SIGKILL);
    }

    /// How many deaths have been told.
    fn deaths(&self) -> usize {
        self.example.wait("anything", |lines| Some(ends(lines).len()))
    }
}

struct Killer {
    random: Random,
    killed: BTreeSet<u32>,
}

/// Numbers that can be had again: xorshift, from `CLUSTER_SEED` if it is set.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = number("CLUSTER_SEED", RandomState::new().build_hasher().finish());
        println!("CLUSTER_SEED={seed}");
        Self(seed.max(1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}
