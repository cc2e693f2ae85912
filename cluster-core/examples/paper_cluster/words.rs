//! The words that a line of a script is made of.

use std::net::SocketAddr;
use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use cluster_core::primary::{TooManyWorkers, UnknownWorker};
use cluster_core::{
    Address, Config, ConfigError, ExitStatus, HandoffId, ListenSpec, ListenerId, OsError, Overload,
    Schedule, Signal, SlotId, UnixName, UnknownSchedule, UnknownSignal, WorkerId,
};

/// The words of one line.
pub(super) struct Words<'a>(pub(super) SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub(super) fn next(&mut self, what: &'static str) -> Result<&'a str, Mistake> {
        self.0.next().ok_or(Mistake::Missing(what))
    }

    /// Passes over `word`, if it is next; says whether it was.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let found = self.0.clone().next() == Some(word);
        if found {
            self.0.next();
        }
        found
    }

    pub(super) fn end<T>(&mut self, value: T) -> Result<T, Mistake> {
        self.0.next().map_or(Ok(value), |more| Err(Mistake::Surplus(more.to_owned())))
    }

    /// The next word, without `prefix` in either case.
    pub(super) fn parse<T: FromStr>(
        &mut self,
        what: &'static str,
        prefix: &str,
    ) -> Result<T, Mistake> {
        let word = self.next(what)?;
        let cut = word.get(..prefix.len()).filter(|it| it.eq_ignore_ascii_case(prefix));
        let bare = if cut.is_some() { &word[prefix.len()..] } else { word };
        bare.parse().map_err(|_| Mistake::not_a(what, word))
    }

    /// What follows `name`, which has to be there.
    pub(super) fn named<T: FromStr>(&mut self, name: &'static str) -> Result<T, Mistake> {
        self.option(name)?.ok_or(Mistake::Missing(name))
    }

    /// What follows `name`, if that is there.
    pub(super) fn option<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Mistake> {
        if self.skip(name) { self.parse(name, "").map(Some) } else { Ok(None) }
    }

    pub(super) fn rest<T: FromStr>(&mut self, what: &'static str) -> Result<Option<T>, Mistake> {
        if self.0.clone().next().is_some() { self.parse(what, "").map(Some) } else { Ok(None) }
    }

    pub(super) fn worker(&mut self) -> Result<WorkerId, Mistake> {
        let number = self.parse("worker", "")?;
        WorkerId::new(number).ok_or_else(|| Mistake::not_a("worker", "0"))
    }

    pub(super) fn listener(&mut self) -> Result<ListenerId, Mistake> {
        self.parse("listener", "l").map(ListenerId)
    }

    pub(super) fn handoff(&mut self) -> Result<HandoffId, Mistake> {
        self.parse("hand-off", "h").map(HandoffId)
    }

    pub(super) fn slot(&mut self) -> Result<SlotId, Mistake> {
        self.parse("slot", "").map(SlotId)
    }

    pub(super) fn schedule(&mut self) -> Result<Schedule, Mistake> {
        Ok(self.next("schedule")?.parse()?)
    }

    pub(super) fn config(&mut self) -> Result<Config, Mistake> {
        let schedule = self.schedule()?;
        let default = Config::default();
        let (mut waiting, mut window) = (default.waiting(), default.window());
        let (mut budget, mut seed) = (default.budget(), default.seed());
        let (mut slow_start, mut overload) = (Time(default.slow_start()), default.overload());
        loop {
            if self.skip("waiting") {
                waiting = self.parse("number", "")?;
            } else if self.skip("window") {
                window = self.parse("number", "")?;
            } else if self.skip("budget") {
                budget = self.parse("number", "")?;
            } else if self.skip("seed") {
                seed = self.parse("number", "")?;
            } else if self.skip("slow-start") {
                slow_start = self.parse("time", "")?;
            } else if self.skip("overload") {
                overload = match self.next("wait or close")? {
                    "wait" => Overload::Wait,
                    "close" => Overload::Close,
                    other => return Err(Mistake::not_a("wait or close", other)),
                };
            } else {
                break self.end(())?;
            }
        }
        let config = Config::new(schedule, waiting, window)?.with_budget(budget)?;
        Ok(config.with_slow_start(slow_start.0).with_overload(overload).with_seed(seed))
    }

    pub(super) fn error(&mut self) -> Result<OsError, Mistake> {
        self.named("errno").map(OsError)
    }

    pub(super) fn status(&mut self) -> Result<ExitStatus, Mistake> {
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

    pub(super) fn spec(&mut self) -> Result<ListenSpec, Mistake> {
        let Place(address) = self.parse("address", "")?;
        let mut spec = ListenSpec::new(address);
        spec.backlog = self.option("backlog")?.unwrap_or(spec.backlog);
        spec.data = self.option::<String>("data")?.unwrap_or_default().into_bytes();
        Ok(spec)
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Mistake {
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
    Schedule(#[from] UnknownSchedule),
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
    pub(super) fn not_a(what: &'static str, word: &str) -> Self {
        Self::NotA { what, word: word.to_owned() }
    }
}

/// A number of seconds or milliseconds: `5s`, `100ms`.
pub(super) struct Time(pub(super) Duration);

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
pub(super) struct Place(pub(super) Address);

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
