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
//! * `config none|round-robin waiting 256 window 8`: before all else
//! * `fork`
//! * `disconnect 1` or `disconnect all`, also with `kill-after 5s`
//! * `kill 1 SIGTERM`
//! * `end 1`: closes the channel to worker 1
//!
//! The operating system:
//!
//! * `spawned 1 pid 100`, `spawn-failed 1 errno 11`
//! * `bound L1 127.0.0.1:80`, `bind-failed L1 errno 98`, `lend-failed 1 r1 L1 errno 24`
//! * `accepted L1` (also with the other end: `accepted L1 127.0.0.1:5000`),
//!   `accept-failed L1 errno 24`
//! * `closed 1`: the channel is at its end; `broken 1`: it is of no more use
//! * `exited 1 code 0`, `exited 1 signal SIGKILL`, `exited 1 lost`
//!
//! Worker 1:
//!
//! * `online 1`, `leaving 1`
//! * `listen 1 127.0.0.1:80`, also with `backlog 10` and `data TEXT`; an address is also
//!   `[::1]:80`, `unix:/run/x`, `udp:127.0.0.1:53` or `fd:3`
//! * `listening 1 L1`, `close 1 L1`
//! * `taken 1 h1`, `refused 1 h1`, `returned 1 L1`
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
//!   say to 1: connection h1 from L1, with a
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

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::str::{FromStr, SplitWhitespace};
use std::time::{Duration, Instant};

use cluster_core::primary::{Action, Event, Input, Primary, TooManyWorkers, UnknownWorker};
use cluster_core::{
    Address, Config, ConfigError, ExitStatus, HandleName, HandleToken, HandoffId, ListenSpec,
    ListenerId, OsError, Output, Pid, Reason, RequestId, Schedule, Signal, ToPrimary, ToWorker,
    UnixName, UnknownSignal, WorkerId,
};

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
            "fork" | "disconnect" | "kill" | "end" => self.command(verb, &mut words)?,
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
        let schedule = match words.next("schedule")? {
            "none" => Schedule::None,
            "round-robin" => Schedule::RoundRobin,
            other => return Err(Mistake::not_a("schedule", other)),
        };
        let default = Config::default();
        let (mut waiting, mut window) = (default.waiting(), default.window());
        loop {
            if words.skip("waiting") {
                waiting = words.parse("number", "")?;
            } else if words.skip("window") {
                window = words.parse("number", "")?;
            } else {
                break words.end(())?;
            }
        }
        if !self.blank {
            return Err(Mistake::TooLate);
        }
        self.primary = Primary::new(Config::new(schedule, waiting, window)?);
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
            "broken" => Input::ChannelBroken { worker: words.worker()? },
            "exited" => Input::Exited { worker: words.worker()?, status: words.status()? },
            _ => return self.message(verb, words),
        })
    }

    fn message(&mut self, verb: &str, words: &mut Words<'_>) -> Result<Input, Mistake> {
        const MESSAGES: [&str; 8] =
            ["online", "leaving", "listen", "listening", "close", "taken", "refused", "returned"];
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
            "taken" => ToPrimary::Taken { handoff: words.handoff()? },
            "refused" => ToPrimary::Refused { handoff: words.handoff()? },
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
            Some(format!("worker {worker} pid {pid} {state}"))
        });
        let connections = format!("{} connections wait to be taken", self.primary.connections());
        workers.chain([connections, deadline(self.deadline)]).collect()
    }
}

/// The words of one line.
struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self, what: &'static str) -> Result<&'a str, Mistake> {
        self.0.next().ok_or(Mistake::Missing(what))
    }

    /// Passes over `word`, if it is next; says whether it was.
    fn skip(&mut self, word: &str) -> bool {
        let found = self.0.clone().next() == Some(word);
        if found {
            self.0.next();
        }
        found
    }

    fn end<T>(&mut self, value: T) -> Result<T, Mistake> {
        self.0.next().map_or(Ok(value), |more| Err(Mistake::Surplus(more.to_owned())))
    }

    /// The next word, without `prefix` in either case.
    fn parse<T: FromStr>(&mut self, what: &'static str, prefix: &str) -> Result<T, Mistake> {
        let word = self.next(what)?;
        let cut = word.get(..prefix.len()).filter(|it| it.eq_ignore_ascii_case(prefix));
        let bare = if cut.is_some() { &word[prefix.len()..] } else { word };
        bare.parse().map_err(|_| Mistake::not_a(what, word))
    }

    /// What follows `name`, which has to be there.
    fn named<T: FromStr>(&mut self, name: &'static str) -> Result<T, Mistake> {
        self.option(name)?.ok_or(Mistake::Missing(name))
    }

    /// What follows `name`, if that is there.
    fn option<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Mistake> {
        if self.skip(name) { self.parse(name, "").map(Some) } else { Ok(None) }
    }

    fn rest<T: FromStr>(&mut self, what: &'static str) -> Result<Option<T>, Mistake> {
        if self.0.clone().next().is_some() { self.parse(what, "").map(Some) } else { Ok(None) }
    }

    fn worker(&mut self) -> Result<WorkerId, Mistake> {
        let number = self.parse("worker", "")?;
        WorkerId::new(number).ok_or_else(|| Mistake::not_a("worker", "0"))
    }

    fn listener(&mut self) -> Result<ListenerId, Mistake> {
        self.parse("listener", "l").map(ListenerId)
    }

    fn handoff(&mut self) -> Result<HandoffId, Mistake> {
        self.parse("hand-off", "h").map(HandoffId)
    }

    fn error(&mut self) -> Result<OsError, Mistake> {
        self.named("errno").map(OsError)
    }

    fn status(&mut self) -> Result<ExitStatus, Mistake> {
        Ok(match self.next("status")? {
            "code" => ExitStatus::Code(self.parse("code", "")?),
            "signal" => {
                let signal: Signal = self.next("signal")?.parse()?;
                ExitStatus::Signal { signal, core_dumped: false }
            }
            "lost" => ExitStatus::Lost,
            other => return Err(Mistake::not_a("status", other)),
        })
    }

    fn spec(&mut self) -> Result<ListenSpec, Mistake> {
        let Place(address) = self.parse("address", "")?;
        let mut spec = ListenSpec::new(address);
        spec.backlog = self.option("backlog")?.unwrap_or(spec.backlog);
        spec.data = self.option::<String>("data")?.unwrap_or_default().into_bytes();
        Ok(spec)
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
enum Mistake {
    #[error("unknown: {0} (try: help)")]
    Unknown(String),
    #[error("missing: {0}")]
    Missing(&'static str),
    #[error("no {what}: {word}")]
    NotA { what: &'static str, word: String },
    #[error("too much: {0}")]
    Surplus(String),
    #[error("it is {0:?} already")]
    Past(Duration),
    #[error("config comes before all else")]
    TooLate,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Worker(#[from] UnknownWorker),
    #[error(transparent)]
    Workers(#[from] TooManyWorkers),
    #[error(transparent)]
    Signal(#[from] UnknownSignal),
}

impl Mistake {
    fn not_a(what: &'static str, word: &str) -> Self {
        Self::NotA { what, word: word.to_owned() }
    }
}

/// A number of seconds or milliseconds: `5s`, `100ms`.
struct Time(Duration);

impl FromStr for Time {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parse = |number: &str| number.parse::<u32>().map(u64::from).map_err(drop);
        match text.strip_suffix("ms") {
            Some(number) => Ok(Self(Duration::from_millis(parse(number)?))),
            None => Ok(Self(Duration::from_secs(parse(text.strip_suffix('s').ok_or(())?)?))),
        }
    }
}

/// An address as [`Address`] displays it.
struct Place(Address);

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let socket = |text: &str| text.parse::<SocketAddr>().map_err(drop);
        Ok(Self(match text.split_once(':') {
            Some(("unix", name)) => Address::Unix(UnixName(name.into())),
            Some(("udp", address)) => Address::Udp(socket(address)?),
            Some(("fd", number)) => Address::Inherited(number.parse().map_err(drop)?),
            Some(_) | None => Address::Tcp(socket(text)?),
        }))
    }
}

/// The text at the head of this file.
fn help() -> Vec<String> {
    let lines = include_str!("paper_cluster.rs").lines();
    lines.map_while(|line| line.strip_prefix("//!")).map(|it| it.trim().to_owned()).collect()
}

fn in_words(action: &Action) -> String {
    match action {
        Action::Spawn { worker } => format!("spawn {worker}"),
        Action::Signal { worker, signal } => format!("signal {worker} {signal}"),
        Action::Send { worker, message, handle: None } => {
            format!("say to {worker}: {}", told(message))
        }
        Action::Send { worker, message, handle: Some(name) } => {
            format!("say to {worker}: {}, with {}", told(message), letter(*name))
        }
        Action::Lend { worker, message, listener } => {
            format!("say to {worker}: {}, with a copy of L{}", told(message), listener.0)
        }
        Action::EndChannel { worker } => format!("end the channel to {worker}"),
        Action::Listen { listener, spec } => {
            format!("bind L{} to {}, backlog {}", listener.0, spec.address, spec.backlog)
        }
        Action::ResumeAccept { listener } => format!("accept from L{}", listener.0),
        Action::PauseAccept { listener } => format!("pause L{}", listener.0),
        Action::CloseListener { listener } => format!("close L{}", listener.0),
        Action::Close { connection, why } => {
            format!("close {}: {}", letter(connection.name()), format!("{why:?}").to_lowercase())
        }
    }
}

fn told(message: &ToWorker) -> String {
    match message {
        ToWorker::Listen { request, result: Ok(grant) } => {
            let data = String::from_utf8_lossy(&grant.data);
            let data = if data.is_empty() { String::new() } else { format!(", data {data}") };
            format!("r{} is granted L{} at {}{data}", request.0, grant.listener.0, grant.address)
        }
        ToWorker::Listen { request, result: Err(error) } => {
            format!("r{} is denied: {error}", request.0)
        }
        ToWorker::Connection { listener, handoff, peer: _ } => {
            format!("connection h{} from L{}", handoff.0, listener.0)
        }
        ToWorker::Disconnect => "disconnect".to_owned(),
        ToWorker::LeaveNoted => "leave noted".to_owned(),
        other => format!("{other:?}"),
    }
}

fn news(event: &Event) -> String {
    match event {
        Event::Fork { worker, pid } => format!("* fork {worker} pid {pid}"),
        Event::SpawnFailed { worker, error } => format!("* spawn failed {worker} {error}"),
        Event::Online { worker } => format!("* online {worker}"),
        Event::Listening { worker, address } => format!("* listening {worker} {address}"),
        Event::Draining { worker } => format!("* draining {worker}"),
        Event::Disconnect { worker, exited_after_disconnect } => {
            format!("* disconnect {worker}{}", flag(exited_after_disconnect))
        }
        Event::Exit { worker, pid, status, exited_after_disconnect } => {
            format!("* exit {worker} pid {pid} {status}{}", flag(exited_after_disconnect))
        }
        Event::AcceptFailed { address, error } => format!("* accept failed {address} {error}"),
        Event::Farewell { id } => format!("* farewell {}", id.0),
    }
}

fn flag(value: impl Display) -> String {
    format!(" exited_after_disconnect={value}")
}

fn deadline(next: Option<(Duration, Reason)>) -> String {
    match next {
        None => "(no deadline)".to_owned(),
        Some((at, Reason::KillAfter(worker))) => format!("(deadline {at:?}: kill {worker})"),
        Some((at, Reason::AcceptRetry(listener))) => {
            format!("(deadline {at:?}: accept from L{} again)", listener.0)
        }
    }
}

/// Connections are `a` to `z`, then `c26` and on.
fn letter(HandleName(number): HandleName) -> String {
    match u8::try_from(number) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        Ok(_) | Err(_) => format!("c{number}"),
    }
}
