//! Memory that each process has for itself.

use anyhow::{Context as _, Result};

use super::{Row, interleaved, subject};
use crate::bench::Bench;
use crate::bench::client::Load;
use crate::bench::memory;
use crate::bench::results::Results;
use crate::bench::server::{Case, Server};
use crate::bench::spread::Spread;

/// Numbers of workers; the last one is left out when it has to be quick.
const WORKERS: &[usize] = &[2, 16, 64];

/// Connections that each worker has had by then.
const CONNECTIONS: u64 = 20;

/// All programs in turn, once: memory is not shared with the neighbours' work.
pub(super) fn measure(bench: &Bench<'_>, results: &mut Results) -> Result<()> {
    let cases = if bench.options.quick { &WORKERS[..2] } else { WORKERS };
    let contenders = bench.contenders(Row::Memory);
    interleaved(Row::Memory, 1, contenders, results, |contender, results| {
        for workers in cases.iter().copied() {
            let mut server = Server::start(contender, Case { workers, schedule: "rr" })?;
            let connections = workers as u64 * CONNECTIONS;
            Load::even(server.address, connections, bench.options.parallel).run()?.flawless()?;
            let each: Vec<_> = server.workers().values().map(|pid| megabytes(*pid)).collect();
            let each: Vec<f64> = each.into_iter().collect::<Result<_>>()?;
            let primary = megabytes(server.primary())?;
            server.stop()?;
            let worker = Spread::of(&each).context("no worker is left")?.median;
            let mut add = |subject: &str, sample| {
                results.add(Row::Memory, subject, "MB", &contender.name, sample);
            };
            add(&subject::memory(workers), worker);
            add(&format!("private memory of the primary, {workers} workers"), primary);
        }
        Ok(())
    });
    Ok(())
}

fn megabytes(pid: u32) -> Result<f64> {
    Ok(memory::private(pid)? as f64 / 1e6)
}
