//! A cluster on paper: the core, driven by a script, with no operating system at all.
//!
//! ```sh
//! cargo run -p cluster-core --example paper_cluster < script.txt
//! ```
//!
//! Each line of the script is a command of the application or a fact of the world. What the
//! primary makes of it follows: what the host would have to do, news for the application (`*`),
//! and the next deadline, when it changes. Nobody checks that the facts fit together; one that
//! cannot be is met with `(nothing)`.
//!
//! # The language
//!
//! The application of the primary:
//!
//! * `config SCHEDULE`, before all else: `rr`, `none`, `sharded`, `least-loaded`,
//!   `power-of-two` or `sticky`; also with `waiting 256`, `window 8`, `budget 1024`,
//!   `slow-start 10s`, `overload wait|close` or `seed 0`
//! * `fork`
//! * `disconnect 1` or `disconnect all`, also with `kill-after 5s`
//! * `kill 1 SIGTERM`
//! * `cordon 1`, `uncordon 1`
//! * `schedule SCHEDULE`: another one from now on
//! * `end 1`: closes the channel to worker 1
//!
//! The operating system:
//!
//! * `spawned 1 pid 100`, `spawn-failed 1 errno 11`
//! * `bound L1 127.0.0.1:80`, `bind-failed L1 errno 98`, `lend-failed 1 r1 L1 errno 24`
//! * `opened L1 1`, `open-failed L1 1 errno 24`: a further socket of the listener, its slot 1
//! * `queued L1 0 3`: so many connections are queued in its slots 0 and 1
//! * `accepted L1` (also with the other end: `accepted L1 127.0.0.1:5000`),
//!   `accept-failed L1 errno 24`
//! * `taken 1 h1`: worker 1 has taken the connection out of its passage; `taken-back 1 h1`: the
//!   primary has, after worker 1 has closed the listener
//! * `closed 1`: the channel is at its end
//! * `exited 1 code 0`, `exited 1 signal SIGKILL`, `exited 1 lost`
//!
//! Worker 1:
//!
//! * `online 1`, `leaving 1`
//! * `listen 1 127.0.0.1:80`, also with `backlog 10` and `data TEXT`; an address is also
//!   `[::1]:80`, `unix:/run/x`, `udp:127.0.0.1:53` or `fd:3`
//! * `listening 1 L1`, `close 1 L1`
//! * `returned 1 L1`, `finished 1 count 1`
//! * `awake 1`, `reported 1`
//!
//! And:
//!
//! * `at 100ms`: so much time has passed since the beginning
//! * `state`: how the workers are
//! * `help`: this text
//! * `# a comment`
//!
//! Workers are numbered from 1, listeners from `L1`, hand-offs from `h1`, and the requests of
//! each worker from `r1`; connections are `a`, `b`, `c`.
//!
//! # A session
//!
//! ```text
//! # One worker serves one client, is asked to leave, and does.
//! > fork
//!   spawn 1
//! > spawned 1 pid 100
//!   * fork 1 pid 100
//! > online 1
//!   * online 1
//! > listen 1 127.0.0.1:80
//!   bind L1 to 127.0.0.1:80, backlog 511
//! > bound L1 127.0.0.1:80
//!   say to 1: r1 is granted L1 at 127.0.0.1:80
//!   accept from L1
//! > listening 1 L1
//!   * listening 1 127.0.0.1:80
//! > accepted L1 127.0.0.1:5000
//!   hand a of L1 to 1 as h1
//! > taken 1 h1
//!   close a: taken
//! > disconnect 1 kill-after 5s
//!   * draining 1
//!   say to 1: disconnect
//!   close L1
//!   (deadline 5s: kill 1)
//! > at 100ms
//!   (nothing)
//! > closed 1
//!   * disconnect 1 exited_after_disconnect=true
//! > exited 1 code 0
//!   * exit 1 pid 100 code=0 signal=- exited_after_disconnect=true
//!   (no deadline)
//! ```

mod phrases;
mod words;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use cluster_core::primary::{Input, Primary};
use cluster_core::{
    Config, HandleName, HandleToken, Output, Pid, Reason, RequestId, ToPrimary, WorkerId,
};

use phrases::{deadline, in_words, news};
use words::{Mistake, Place, Time, Words};

fn main() -> io::Result<()> {
    let mut paper = Paper::new();
    let echoes = !io::stdin().is_terminal();
    let mut out = io::stdout();
    for line in io::stdin().lines() {
        let line = line?;
        if echoes {
            out.write_all(echo(&line).as_bytes())?;
        }
        out.write_all(paper.read(&line).as_bytes())?;
    }
    Ok(())
}

/// A line of a script as it looks in a session.
pub(crate) fn echo(line: &str) -> String {
    let prompt = if says_nothing(line) { "" } else { "> " };
    format!("{prompt}{line}\n")
}

fn says_nothing(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// The primary, and all that is known of its world.
pub(crate) struct Paper {
    primary: Primary,
    /// Nothing has been said to it.
    blank: bool,
    epoch: Instant,
    /// Since then.
    elapsed: Duration,
    deadline: Option<(Duration, Reason)>,
    lines: usize,
    connections: u64,
    requests: BTreeMap<WorkerId, u32>,
}

impl Paper {
    #[expect(clippy::disallowed_methods, reason = "virtual time begins with some moment")]
    pub(crate) fn new() -> Self {
        Self {
            primary: Primary::new(Config::default()),
            blank: true,
            epoch: Instant::now(),
            elapsed: Duration::ZERO,
            deadline: None,
            lines: 0,
            connections: 0,
            requests: BTreeMap::new(),
        }
    }

    /// Takes in the next line of the script, and says what comes of it.
    pub(crate) fn read(&mut self, line: &str) -> String {
        self.lines += 1;
        if says_nothing(line) {
            return String::new();
        }
        match self.obey(line) {
            Ok(answer) => answer.into_iter().map(|it| format!("  {it}\n")).collect(),
            Err(mistake) => format!("line {}: {mistake}\n", self.lines),
        }
    }

    fn obey(&mut self, line: &str) -> Result<Vec<String>, Mistake> {
        let mut words = Words(line.split_whitespace());
        let verb = words.next("verb")?;
        match verb {
            "help" => return words.end(help()),
            "state" => return words.end(self.state()),
            "config" => self.configure(&mut words)?,
            "at" => self.at(&mut words)?,
            "schedule" => {
                let schedule = words.schedule()?;
                words.end(())?;
                self.primary.set_schedule(self.now(), schedule)?;
            }
            "fork" | "disconnect" | "kill" | "cordon" | "uncordon" | "end" => {
                self.command(verb, &mut words)?;
            }
            _ => {
                let input = self.fact(verb, &mut words)?;
                words.end(())?;
                self.tell(input);
            }
        }
        self.blank &= verb == "config";
        Ok(self.drain())
    }

    fn configure(&mut self, words: &mut Words<'_>) -> Result<(), Mistake> {
        let config = words.config()?;
        if !self.blank {
            return Err(Mistake::TooLate);
        }
        self.primary = Primary::new(config);
        Ok(())
    }

    fn at(&mut self, words: &mut Words<'_>) -> Result<(), Mistake> {
        let Time(moment) = words.parse("time", "")?;
        words.end(())?;
        if moment < self.elapsed {
            return Err(Mistake::Past(self.elapsed));
        }
        self.elapsed = moment;
        if self.deadline.is_some_and(|(at, _)| at <= moment) {
            self.tell(Input::Timeout);
        }
        Ok(())
    }

    fn command(&mut self, verb: &str, words: &mut Words<'_>) -> Result<(), Mistake> {
        let now = self.now();
        if verb == "fork" {
            words.end(())?;
            self.primary.fork()?;
            return Ok(());
        }
        let all = verb == "disconnect" && words.skip("all");
        let worker = if all { None } else { Some(words.worker()?) };
        match (verb, worker) {
            ("kill", Some(worker)) => {
                let signal = words.next("signal")?.parse()?;
                words.end(())?;
                self.primary.kill(worker, signal)?;
            }
            ("cordon", Some(worker)) => {
                words.end(())?;
                self.primary.cordon(worker)?;
            }
            ("uncordon", Some(worker)) => {
                words.end(())?;
                self.primary.uncordon(worker)?;
            }
            ("end", Some(worker)) => {
                words.end(())?;
                self.primary.close_channel(worker)?;
            }
            (_, worker) => {
                let kill_after = words.option("kill-after")?.map(|Time(patience)| patience);
                words.end(())?;
                match worker {
                    Some(worker) => self.primary.disconnect(now, worker, kill_after)?,
                    None => drop(self.primary.disconnect_all(now, kill_after)),
                }
            }
        }
        Ok(())
    }

    fn fact(&mut self, verb: &str, words: &mut Words<'_>) -> Result<Input, Mistake> {
        Ok(match verb {
            "spawned" => {
                let (worker, pid) = (words.worker()?, words.named("pid")?);
                Input::Spawned { worker, pid: Pid(pid) }
            }
            "spawn-failed" => Input::SpawnFailed { worker: words.worker()?, error: words.error()? },
            "bound" => {
                let (listener, Place(address)) = (words.listener()?, words.parse("address", "")?);
                Input::ListenDone { listener, result: Ok(address) }
            }
            "bind-failed" => {
                Input::ListenDone { listener: words.listener()?, result: Err(words.error()?) }
            }
            "opened" => {
                let (listener, slot) = (words.listener()?, words.slot()?);
                Input::SlotOpened { listener, slot, result: Ok(()) }
            }
            "open-failed" => {
                let (listener, slot) = (words.listener()?, words.slot()?);
                Input::SlotOpened { listener, slot, result: Err(words.error()?) }
            }
            "queued" => {
                let (listener, mut queued) = (words.listener()?, Vec::new());
                while let Some(count) = words.rest("number")? {
                    queued.push(count);
                }
                Input::Inspected { listener, queued }
            }
            "lend-failed" => Input::LendFailed {
                worker: words.worker()?,
                request: RequestId(words.parse("request", "r")?),
                listener: words.listener()?,
                error: words.error()?,
            },
            "accepted" => {
                let (listener, peer) = (words.listener()?, words.rest("other end")?);
                words.end(())?;
                Input::Accepted { listener, connection: self.connection(), peer }
            }
            "accept-failed" => {
                Input::AcceptFailed { listener: words.listener()?, error: words.error()? }
            }
            "closed" => Input::ChannelClosed { worker: words.worker()? },
            "taken" => Input::Taken { worker: words.worker()?, handoff: words.handoff()? },
            "taken-back" => Input::TakenBack { worker: words.worker()?, handoff: words.handoff()? },
            "exited" => Input::Exited { worker: words.worker()?, status: words.status()? },
            _ => return self.message(verb, words),
        })
    }

    fn message(&mut self, verb: &str, words: &mut Words<'_>) -> Result<Input, Mistake> {
        const MESSAGES: [&str; 9] = [
            "online",
            "leaving",
            "listen",
            "listening",
            "close",
            "returned",
            "finished",
            "reported",
            "awake",
        ];
        if !MESSAGES.contains(&verb) {
            return Err(Mistake::Unknown(verb.to_owned()));
        }
        let worker = words.worker()?;
        let message = match verb {
            "online" => ToPrimary::Online,
            "leaving" => ToPrimary::Leaving,
            "listen" => {
                let spec = words.spec()?;
                words.end(())?;
                let request = self.requests.entry(worker).or_default();
                *request += 1;
                ToPrimary::Listen { request: RequestId(*request), spec }
            }
            "listening" => ToPrimary::Listening { listener: words.listener()? },
            "close" => ToPrimary::Close { listener: words.listener()? },
            "finished" => ToPrimary::Finished { count: words.named("count")? },
            "reported" => ToPrimary::Reported,
            "awake" => ToPrimary::Awake,
            _ => ToPrimary::Returned { listener: words.listener()?, peer: None },
        };
        words.end(())?;
        let handle = (message.handles() > 0).then(|| self.connection());
        Ok(Input::Received { worker, message, handle })
    }

    fn connection(&mut self) -> HandleToken {
        let name = HandleName(self.connections);
        self.connections += 1;
        HandleToken::new(name)
    }

    fn now(&self) -> Instant {
        self.epoch + self.elapsed
    }

    fn tell(&mut self, input: Input) {
        self.primary.handle_input(self.now(), input);
    }

    /// The loop: all outputs until the primary waits, and for what.
    fn drain(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            match self.primary.poll_output() {
                Output::Action(action) => said.push(in_words(&action)),
                Output::Event(event) => said.push(news(&event)),
                Output::Wait(_) => break,
            }
        }
        let next = self.primary.next_deadline();
        let next = next.map(|(at, why)| (at.saturating_duration_since(self.epoch), why));
        if next != self.deadline {
            said.push(deadline(next));
        } else if said.is_empty() {
            said.push("(nothing)".to_owned());
        }
        self.deadline = next;
        said
    }

    fn state(&self) -> Vec<String> {
        let workers = self.primary.workers().filter_map(|worker| {
            let state = self.primary.state(worker)?;
            let pid = self.primary.pid(worker).map_or("-".to_owned(), |pid| pid.to_string());
            let cordoned = if self.primary.is_cordoned(worker) { ", cordoned" } else { "" };
            let load = match self.primary.load(worker) {
                (0, 0) => String::new(),
                (untaken, open) => format!(", {untaken} untaken, {open} open"),
            };
            Some(format!("worker {worker} pid {pid} {state}{cordoned}{load}"))
        });
        let connections = format!("{} connections wait to be taken", self.primary.connections());
        workers.chain([connections, deadline(self.deadline)]).collect()
    }
}

/// The text at the head of this file.
fn help() -> Vec<String> {
    let lines = include_str!("main.rs").lines();
    lines.map_while(|line| line.strip_prefix("//!")).map(|it| it.trim().to_owned()).collect()
}
