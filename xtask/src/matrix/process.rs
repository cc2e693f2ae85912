//! A program that is run to its end, whatever it does.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// What a program has left.
pub(crate) struct Finished {
    /// How it ended; `None` when it hung and was killed.
    pub(crate) status: Option<ExitStatus>,
    /// What it wrote to its standard output.
    pub(crate) stdout: String,
    /// What it wrote to its standard error.
    pub(crate) stderr: String,
    /// Whether it left behind processes that went on holding its output.
    pub(crate) left_behind: bool,
    /// From start to end.
    pub(crate) took: Duration,
}

/// The patience with a program.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// From its start to its end.
    pub(crate) program: Duration,
    /// From its end to the end of its output, which what it has started may hold.
    pub(crate) leftover: Duration,
}

/// Runs `command` in a process group of its own and kills that group when a limit is reached.
pub(crate) fn run(mut command: Command, limits: Limits) -> io::Result<Finished> {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let group = child.id();
    let (sender, news) = mpsc::channel();
    report_output(child.stdout.take(), Stream::Out, sender.clone());
    report_output(child.stderr.take(), Stream::Err, sender.clone());
    thread::spawn(move || sender.send(News::Exit(child.wait())));

    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut status, mut left_behind, mut killed) = (None, false, false);
    let mut deadline = started + limits.program;
    // The channel closes once the program has ended and nobody holds its output any more.
    loop {
        match news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(News::Output(Stream::Out, bytes)) => stdout.extend(bytes),
            Ok(News::Output(Stream::Err, bytes)) => stderr.extend(bytes),
            Ok(News::Exit(ended)) => {
                // The status of what was killed tells nothing.
                status = Some(ended?).filter(|_| !killed);
                deadline = deadline.min(Instant::now() + limits.leftover);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if !killed => {
                left_behind = status.is_some();
                kill(group)?;
                killed = true;
                deadline = Instant::now() + limits.leftover;
            }
            Err(_) => break,
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    Ok(Finished { status, stdout, stderr, left_behind, took: started.elapsed() })
}

impl Finished {
    /// Whether the program ended by itself and well.
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How the program ended.
    pub(crate) fn ending(&self) -> String {
        let hung = || format!("hung, killed after {:.0?}", self.took);
        self.status.map_or_else(hung, |status| status.to_string())
    }

    /// How the program ended and all it wrote.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.ending();
        for (name, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !output.trim().is_empty() {
                text += &format!("\n---- {name} ----\n{}", output.trim_end());
            }
        }
        text
    }
}

enum News {
    Output(Stream, Vec<u8>),
    Exit(io::Result<ExitStatus>),
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Reports what comes out of `pipe` until its end, and then lets go of `sender`.
fn report_output(pipe: Option<impl Read + Send + 'static>, stream: Stream, sender: Sender<News>) {
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = [0; 8192];
        // A pipe that cannot be read any more has ended.
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(News::Output(stream, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// Kills the process group `group`. That it has just ended by itself is no failure.
fn kill(group: u32) -> io::Result<()> {
    let group = format!("-{group}");
    Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(60);

    fn shell(script: &str, limits: Limits) -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, limits).expect("there is a shell")
    }

    #[test]
    fn output_and_status_are_kept() {
        let limits = Limits { program: LATE, leftover: LATE };
        let finished = shell("echo out; echo err >&2; exit 7", limits);
        assert_eq!(finished.status.and_then(|status| status.code()), Some(7));
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
        assert!(!finished.left_behind);
    }

    #[test]
    fn what_hangs_is_killed_with_all_it_started() {
        let limits = Limits { program: SOON, leftover: LATE };
        let finished = shell("echo out; tail -f /dev/null & wait", limits);
        assert!(finished.status.is_none());
        assert_eq!(finished.stdout, "out\n");
        assert!(finished.took < LATE, "nothing held the output any more");
    }

    #[test]
    fn what_is_left_behind_is_noticed_and_killed() {
        let limits = Limits { program: LATE, leftover: SOON };
        let finished = shell("tail -f /dev/null &", limits);
        assert!(finished.status.is_some_and(|status| status.success()));
        assert!(finished.left_behind);
    }
}
