//! The example program as a process: started, watched line by line, and never left behind.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;

pub(crate) use nix::sys::signal::Signal;

use crate::client::Target;
use crate::runtime::Runtime;
use crate::transcript::{self, End, Line};

/// A running example, in a process group of its own. Dropped, all its processes are killed.
pub(crate) struct Example {
    child: Child,
    heard: Arc<Heard>,
    over: bool,
}

impl Example {
    pub(crate) fn start(runtime: Runtime, arguments: &[&str]) -> Self {
        Self::launch(Self::command(&runtime.program("http")).args(arguments))
    }

    /// So many workers on some port of 127.0.0.1, and all of them listen.
    pub(crate) fn serving(runtime: Runtime, workers: usize, more: &[&str]) -> (Self, Target) {
        let count = workers.to_string();
        let common: &[&str] = &["--listen", "127.0.0.1:0", "--workers", &count];
        let example = Self::start(runtime, &[common, more].concat());
        let target = example.listening(workers);
        (example, target)
    }

    /// The example, as a user starts it who has set nothing in the environment.
    pub(crate) fn command(program: &Path) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("CLUSTER_");
        for name in env::vars_os().map(|(name, _)| name).filter(ours) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn launch(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().expect("the example starts");
        let heard = Arc::new(Heard { state: Mutex::default(), news: Condvar::new() });
        heard.listen(child.stdout.take().expect("piped"), State::hear);
        heard.listen(child.stderr.take().expect("piped"), |state, text| {
            state.errors.push_str(text);
            state.errors.push('\n');
        });
        Self { child, heard, over: false }
    }

    /// The primary.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until so many workers listen, and tells where.
    pub(crate) fn listening(&self, workers: usize) -> Target {
        let address = self.wait("all workers to listen", |lines| {
            let all = transcript::serving(lines).len() == workers;
            if all { transcript::address(lines) } else { None }
        });
        address.parse().expect("listeners have addresses")
    }

    /// The workers that listen now, with their processes.
    pub(crate) fn workers(&self) -> BTreeMap<u32, u32> {
        transcript::serving(&self.heard.state().lines)
    }

    /// Waits until all lines so far show what `find` looks for.
    pub(crate) fn wait<T>(&self, what: &str, find: impl Fn(&[Line]) -> Option<T>) -> T {
        self.heard.wait(what, |state| find(&state.lines))
    }

    /// Waits until all these lines have been printed, in whatever order.
    pub(crate) fn wait_for(&self, wanted: &[Line]) {
        self.wait(&format!("{wanted:?}"), |lines| {
            wanted.iter().all(|line| lines.contains(line)).then_some(())
        });
    }

    /// Sends the primary a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Sends a signal to all processes, as a terminal does.
    pub(crate) fn signal_all(&self, signal: Signal) {
        killpg(raw(self.pid()), signal).expect("the process group is there");
    }

    /// Waits until the primary has ended and no worker is left: each of them has the pipes that
    /// are read to their ends here.
    pub(crate) fn ended(mut self) -> Ended {
        self.heard.wait("the end of all processes", |state| (state.closed == 2).then_some(()));
        let status = self.child.wait().expect("it is our child");
        self.over = true;
        let state = self.heard.state();
        transcript::check(&state.lines, status.code().is_some());
        Ended { status, lines: state.lines.clone(), errors: state.errors.clone() }
    }

    /// Ends it as its user does: whoever is still there leaves gracefully. Returns all lines.
    pub(crate) fn finish(self) -> Vec<Line> {
        let before = self.wait("anything", |lines| Some(transcript::ends(lines)));
        self.signal(Signal::SIGTERM);
        let Ended { status, lines, errors } = self.ended();
        assert_eq!(status.code(), Some(0), "{lines:#?}\n{errors}");
        assert_eq!(errors, "");
        for (id, end) in transcript::ends(&lines) {
            assert!(before.contains_key(&id) || end == End::GRACEFUL, "exit {id} {end}");
        }
        lines
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Until the primary is waited for, its number and its group's are nobody else's.
        if !self.over {
            let killed = killpg(raw(self.pid()), Signal::SIGKILL);
            let ended = self.child.wait();
            assert!(killed.is_ok() && ended.is_ok() || thread::panicking(), "{killed:?} {ended:?}");
        }
    }
}

/// What was left of an example.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<Line>,
    pub(crate) errors: String,
}

/// Sends a process a signal. One that has ended meanwhile needs none.
pub(crate) fn send(pid: u32, signal: Signal) {
    match kill(raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => panic!("cannot send {signal} to {pid}: {error}"),
    }
}

/// Looks until there is something to see: for facts that nobody announces.
pub(crate) fn look<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().expect("process numbers are small"))
}

/// What was heard of an example until now, for whoever waits for more.
struct Heard {
    state: Mutex<State>,
    news: Condvar,
}

impl Heard {
    /// Hears, on a thread of its own, each line of a stream and its end.
    fn listen(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        hear: impl Fn(&mut State, &str) + Send + 'static,
    ) {
        let heard = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                hear(&mut heard.state(), &line.expect("the example writes text"));
                heard.news.notify_all();
            }
            heard.state().closed += 1;
            heard.news.notify_all();
        });
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&State) -> Option<T>) -> T {
        let deadline = Instant::now() + WATCHDOG;
        let mut state = self.state();
        let problem = loop {
            if !state.broken.is_empty() {
                break "it breaks the contract";
            }
            if let Some(found) = find(&state) {
                return found;
            }
            if state.closed == 2 {
                break "it has ended";
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break "it hangs";
            }
            state = match self.news.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        };
        let story = format!("{problem}; waited for {what}; heard {state:#?}");
        drop(state);
        panic!("{story}");
    }

    /// A test that failed while it looked has changed nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// Lines that break the contract.
    broken: Vec<String>,
    errors: String,
    /// How many of stdout and stderr have ended.
    closed: usize,
}

impl State {
    fn hear(&mut self, text: &str) {
        match text.parse() {
            Ok(line) => self.lines.push(line),
            Err(problem) => self.broken.push(problem),
        }
    }
}

/// Nothing takes as long as this unless it hangs.
const WATCHDOG: Duration = Duration::from_secs(60);
