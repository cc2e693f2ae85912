//! What the example prints, held against its contract: one event a line, in exactly one form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// A line of the example's standard output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Primary {
        pid: u32,
    },
    Fork {
        id: u32,
        pid: u32,
    },
    Online {
        id: u32,
    },
    Listening {
        id: u32,
        address: String,
    },
    Draining {
        id: u32,
    },
    Disconnect {
        id: u32,
    },
    Exit {
        id: u32,
        end: End,
    },
    /// Whatever else it likes to say.
    Other(String),
}

/// How a worker ended.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum End {
    Code { code: i32, asked: bool },
    Signal { signal: String, asked: bool },
}

impl End {
    /// It was asked to leave, and did.
    pub(crate) const GRACEFUL: Self = Self::Code { code: 0, asked: true };

    pub(crate) fn killed(asked: bool) -> Self {
        Self::Signal { signal: "SIGKILL".to_owned(), asked }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not in the form of the contract: {text:?}");
        let line = match recognize(text) {
            Some(line) => line,
            None if EVENTS.contains(&text.split(' ').next().unwrap_or("")) => return Err(wrong()),
            None => Self::Other(text.to_owned()),
        };
        // Numbers with zeros or signs in front would be read, too.
        if line.to_string() == text { Ok(line) } else { Err(wrong()) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary { pid } => write!(f, "primary {pid}"),
            Self::Fork { id, pid } => write!(f, "fork {id} {pid}"),
            Self::Online { id } => write!(f, "online {id}"),
            Self::Listening { id, address } => write!(f, "listening {id} {address}"),
            Self::Draining { id } => write!(f, "draining {id}"),
            Self::Disconnect { id } => write!(f, "disconnect {id}"),
            Self::Exit { id, end } => write!(f, "exit {id} {end}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code, asked } => {
                write!(f, "code={code} signal=- exited_after_disconnect={asked}")
            }
            Self::Signal { signal, asked } => {
                write!(f, "code=- signal={signal} exited_after_disconnect={asked}")
            }
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn recognize(text: &str) -> Option<Line> {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |word: &str| word.parse().ok();
    Some(match *words {
        ["primary", pid] => Line::Primary { pid: number(pid)? },
        ["fork", id, pid] => Line::Fork { id: number(id)?, pid: number(pid)? },
        ["online", id] => Line::Online { id: number(id)? },
        ["listening", id, address] if !address.is_empty() => {
            Line::Listening { id: number(id)?, address: address.to_owned() }
        }
        ["draining", id] => Line::Draining { id: number(id)? },
        ["disconnect", id] => Line::Disconnect { id: number(id)? },
        ["exit", id, code, signal, asked] => {
            let code = code.strip_prefix("code=")?;
            let signal = signal.strip_prefix("signal=")?;
            let asked = asked.strip_prefix("exited_after_disconnect=")?.parse().ok()?;
            let end = match (code, signal) {
                ("-", signal) if signal.starts_with("SIG") => {
                    End::Signal { signal: signal.to_owned(), asked }
                }
                (code, "-") => End::Code { code: code.parse().ok()?, asked },
                _ => return None,
            };
            Line::Exit { id: number(id)?, end }
        }
        _ => return None,
    })
}

/// The workers that listen and have not begun to leave, with their processes.
pub(crate) fn serving(lines: &[Line]) -> BTreeMap<u32, u32> {
    let mut pids = BTreeMap::new();
    let mut serving = BTreeMap::new();
    for line in lines {
        match line {
            Line::Fork { id, pid } => {
                pids.insert(*id, *pid);
            }
            Line::Listening { id, .. } => {
                serving.insert(*id, pids[id]);
            }
            Line::Draining { id } | Line::Disconnect { id } | Line::Exit { id, .. } => {
                serving.remove(id);
            }
            Line::Primary { .. } | Line::Online { .. } | Line::Other(_) => {}
        }
    }
    serving
}

/// Where the workers listen: the same for all of them.
pub(crate) fn address(lines: &[Line]) -> Option<String> {
    let listening = lines.iter().filter_map(|line| match line {
        Line::Listening { address, .. } => Some(address.clone()),
        _ => None,
    });
    let addresses: BTreeSet<String> = listening.collect();
    assert!(addresses.len() <= 1, "workers listen on several addresses: {addresses:?}");
    addresses.into_iter().next()
}

/// How the workers ended.
pub(crate) fn ends(lines: &[Line]) -> BTreeMap<u32, End> {
    let exits = lines.iter().filter_map(|line| match line {
        Line::Exit { id, end } => Some((*id, end.clone())),
        _ => None,
    });
    exits.collect()
}

/// Checks that each worker's life is in order; with `complete`, that each one is over.
pub(crate) fn check(lines: &[Line], complete: bool) {
    let mut lives: BTreeMap<u32, Life> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        let id = match line {
            Line::Primary { .. } => {
                assert_eq!(place, 0, "`{line}` comes once, and first");
                continue;
            }
            Line::Other(_) => continue,
            Line::Fork { id, .. } => {
                let newest = lives.last_key_value().map_or(0, |(id, _)| *id);
                assert!(*id > newest, "`{line}`: numbers are never used again");
                lives.insert(*id, Life::default());
                continue;
            }
            Line::Online { id }
            | Line::Listening { id, .. }
            | Line::Draining { id }
            | Line::Disconnect { id }
            | Line::Exit { id, .. } => id,
        };
        let life = lives.get_mut(id).unwrap_or_else(|| panic!("`{line}` before its fork"));
        assert!(life.goes_on(line), "`{line}` does not go with what was before: {life:?}");
    }
    let open: Vec<_> = lives.iter().filter(|(_, life)| !life.is_over()).collect();
    assert!(!complete || open.is_empty(), "no word of the end of {open:?}");
}

/// What was heard of a worker.
#[derive(Debug, Default)]
struct Life {
    online: bool,
    draining: bool,
    disconnected: bool,
    exited: bool,
}

impl Life {
    /// Takes note of one more line; says whether it may come now.
    fn goes_on(&mut self, line: &Line) -> bool {
        let first = |fact: &mut bool| !std::mem::replace(fact, true);
        match line {
            Line::Online { .. } => first(&mut self.online) && !self.disconnected,
            Line::Listening { .. } => self.online && !self.draining && !self.disconnected,
            Line::Draining { .. } => first(&mut self.draining) && !self.disconnected,
            Line::Disconnect { .. } => first(&mut self.disconnected),
            // A worker that leaves says so before it ends.
            Line::Exit { end, .. } => {
                first(&mut self.exited) && (*end != End::GRACEFUL || self.disconnected)
            }
            Line::Primary { .. } | Line::Fork { .. } | Line::Other(_) => false,
        }
    }

    fn is_over(&self) -> bool {
        self.disconnected && self.exited
    }
}

/// The words that make a line one of the contract.
const EVENTS: &[&str] = &["primary", "fork", "online", "listening", "disconnect", "exit"];
