//! What the primary knows of its workers, and the pages that show it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cluster_smol::WorkerId;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::listener::Answer;

/// What a worker tells of itself, all of it since its start.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Memory, in bytes.
    pub(crate) resident: u64,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requests={} errors={}", self.requests, self.errors)
    }
}

/// The last report of each worker, and the sum of the dead ones'.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    living: BTreeMap<WorkerId, Option<(Report, SystemTime)>>,
    dead: Report,
    deaths: u64,
}

impl Board {
    pub(crate) fn born(&self, worker: WorkerId) {
        self.numbers().living.insert(worker, None);
    }

    pub(crate) fn report(&self, worker: WorkerId, report: Report) {
        self.numbers().living.insert(worker, Some((report, SystemTime::now())));
    }

    /// Its numbers stay.
    pub(crate) fn gone(&self, worker: WorkerId) {
        let mut numbers = self.numbers();
        numbers.deaths += 1;
        if let Some((last, _)) = numbers.living.remove(&worker).flatten() {
            numbers.dead.requests += last.requests;
            numbers.dead.errors += last.errors;
        }
    }

    /// The sum of all workers that there are and that there were; the memory is that of those
    /// that live.
    pub(crate) fn total(&self) -> Report {
        self.numbers().total()
    }

    /// No more than one number is changed at a time: whoever panicked meanwhile has broken none.
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn total(&self) -> Report {
        self.reports().fold(self.dead, |sum, (_, last, _)| Report {
            requests: sum.requests + last.requests,
            errors: sum.errors + last.errors,
            resident: sum.resident + last.resident,
        })
    }

    fn reports(&self) -> impl Iterator<Item = (WorkerId, Report, SystemTime)> {
        self.living.iter().filter_map(|(id, last)| last.map(|(report, seen)| (*id, report, seen)))
    }

    /// A table for people.
    fn table(&self) -> Result<String, fmt::Error> {
        let mut page = "worker   requests     errors  memory/kB  seen\n".to_owned();
        for (id, last) in &self.living {
            match last {
                None => writeln!(page, "{id:>6}          -          -          -  never")?,
                Some((Report { requests, errors, resident }, seen)) => {
                    let (kibibytes, ago) = (resident / 1024, seen.elapsed().unwrap_or_default());
                    let ago = ago.as_secs_f64();
                    writeln!(
                        page,
                        "{id:>6} {requests:>10} {errors:>10} {kibibytes:>10}  {ago:.1} s ago"
                    )?;
                }
            }
        }
        let Report { requests, errors, resident } = self.total();
        writeln!(page, " total {requests:>10} {errors:>10} {:>10}", resident / 1024)?;
        writeln!(page, "{} workers are gone", self.deaths)?;
        Ok(page)
    }

    /// Prometheus's text format.
    fn metrics(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        let Report { requests, errors, resident } = self.total();
        metric(&mut page, "cluster_requests_total", "counter", [("", requests)])?;
        metric(&mut page, "cluster_errors_total", "counter", [("", errors)])?;
        metric(&mut page, "cluster_deaths_total", "counter", [("", self.deaths)])?;
        metric(&mut page, "cluster_workers", "gauge", [("", self.living.len())])?;
        metric(&mut page, "cluster_resident_bytes", "gauge", [("", resident)])?;
        let each = |what: fn(Report) -> u64| {
            self.reports().map(move |(id, last, _)| (format!("{{worker=\"{id}\"}}"), what(last)))
        };
        metric(&mut page, "cluster_worker_requests_total", "counter", each(|it| it.requests))?;
        metric(&mut page, "cluster_worker_errors_total", "counter", each(|it| it.errors))?;
        metric(&mut page, "cluster_worker_resident_bytes", "gauge", each(|it| it.resident))?;
        let seen = self
            .reports()
            .map(|(id, _, seen)| (format!("{{worker=\"{id}\"}}"), since_epoch(seen).as_secs_f64()));
        metric(&mut page, "cluster_worker_last_seen_timestamp_seconds", "gauge", seen)?;
        Ok(page)
    }
}

/// The pages `/status` and `/metrics`.
pub(crate) fn page(board: &Board, path: &str) -> Answer {
    let (kind, text) = match path {
        "/status" => ("text/plain; charset=utf-8", board.numbers().table()),
        "/metrics" => ("text/plain; version=0.0.4", board.numbers().metrics()),
        _ => return failed(StatusCode::NOT_FOUND),
    };
    let Ok(text) = text else { return failed(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut page = Response::new(text.into());
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page
}

pub(crate) fn failed(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

fn metric(
    page: &mut String,
    name: &str,
    kind: &str,
    samples: impl IntoIterator<Item = (impl Display, impl Display)>,
) -> fmt::Result {
    writeln!(page, "# TYPE {name} {kind}")?;
    samples.into_iter().try_for_each(|(labels, value)| writeln!(page, "{name}{labels} {value}"))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
