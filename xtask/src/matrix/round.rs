//! Every program once, some of them at a time.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::Options;
use super::program::{Program, Run};
use super::verdict::Tally;
use crate::Failure;

/// Runs `programs` and returns what came of each, in their order. Each one that ends is
/// reported to standard error.
pub(crate) fn run(
    root: &Path,
    programs: &[Program],
    options: &Options,
    round: u32,
) -> Result<Vec<Run>, Failure> {
    let jobs = options.jobs.get();
    let threads = (thread::available_parallelism()?.get() / jobs).max(1);
    let filter = options.filter.as_deref();
    let next = AtomicUsize::new(0);
    let mut runs = Vec::new();
    thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for _ in 0..jobs.min(programs.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                let take = || {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    programs.get(index).map(|program| (index, program))
                };
                while let Some((index, program)) = take() {
                    // Nobody listens any more when the progress could not be shown.
                    if sender.send((index, program.run(root, filter, threads))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, run) in ended {
            show_progress(&programs[index], &run, round, options)?;
            runs.push((index, run));
        }
        Ok::<_, io::Error>(())
    })?;
    runs.sort_by_key(|(index, _)| *index);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

fn show_progress(program: &Program, run: &Run, round: u32, options: &Options) -> io::Result<()> {
    let Tally { passed, failed, .. } = Tally::of(&run.records);
    let seconds = run.took.as_secs_f64();
    let round = match options.repeat.get() {
        1 => String::new(),
        rounds => format!("[{round}/{rounds}] "),
    };
    writeln!(io::stderr(), "{round}{program}: {passed} passed, {failed} failed, {seconds:.1} s")
}
