//! Workers that are killed, and workers that are replaced, while clients go on.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::client::{Load, Outcome};
use crate::bench::contender::Contender;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};

const WORKERS: usize = 4;

/// Of these, those that a program knows.
const SCHEDULES: &[&str] = &["rr", "sharded"];

/// For an answer while workers come and go.
const PATIENCE: Duration = Duration::from_secs(5);

/// All programs that replace workers, once: what counts is that nothing goes wrong at all.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let contenders = bench.contenders(Row::Storm);
    interleaved(Row::Storm, 1, contenders, results, |contender, results| {
        for schedule in SCHEDULES.iter().filter(|it| contender.schedules.contains(it)) {
            let case = Case { workers: WORKERS, schedule };
            both(bench, contender, case, results)?;
        }
        Ok(())
    });
    Ok(())
}

/// The storm, and the rolling restart.
fn both(
    bench: &Bench<'_>,
    contender: &Contender,
    case: Case<'_>,
    results: &mut Results,
) -> Result<()> {
    let mut add = |subject: String, sample: u64| {
        results.add(Row::Storm, &subject, "", &contender.name, sample as f64);
    };
    let in_storm = |what| subject::storm(what, case.schedule);
    let mut server = Server::start_quietly(contender, case, &[])?;
    let all = load(bench, &server);
    let period = Duration::from_millis(bench.options.period);
    let (outcome, killed) = storm(&mut server, all, period)?;
    server.stop()?;
    add(in_storm("answered"), outcome.answers.values().sum());
    add(in_storm("workers killed"), killed);
    add(in_storm("failed"), outcome.failed);
    add(in_storm("hung"), outcome.hung);
    let rolling = |what| subject::rolling(what, case.schedule);
    let every = bench.options.period.to_string();
    let server = Server::start_quietly(contender, case, &["--roll-every", &every])?;
    let outcome = load(bench, &server).run()?;
    server.stop()?;
    add(rolling("answered"), outcome.answers.values().sum());
    add(rolling("workers"), outcome.answers.len() as u64);
    add(rolling("failed"), outcome.failed);
    add(rolling("hung"), outcome.hung);
    if let Some(reason) = outcome.reason {
        results.note(format!("h: {}: rolling {}: {reason}", contender.name, case.schedule));
    }
    Ok(())
}

fn load(bench: &Bench<'_>, server: &Server) -> Load {
    let load = Load::even(server.address, bench.options.storm(), bench.options.parallel);
    Load { limit: bench.options.limit(), patience: PATIENCE, ..load }
}

/// Kills one worker after another until the load is through. Says how many.
fn storm(server: &mut Server, load: Load, period: Duration) -> Result<(Outcome, u64)> {
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let client = scope.spawn(move || {
            let outcome = load.run();
            drop(ended);
            outcome
        });
        let mut killed = 0;
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(period) {
            let victims: Vec<u32> = server.workers().values().copied().collect();
            // The moment at which it is looked is as good as chance.
            let chance = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos() as usize;
            let Some(victim) = victims.get(chance % victims.len().max(1)) else { continue };
            match kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL) {
                Ok(()) => killed += 1,
                // It has just ended by itself.
                Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let outcome = client.join().map_err(|_| anyhow!("the client panicked"))??;
        Ok((outcome, killed))
    })
}
