//! A rolling restart without end: one worker after another is replaced.

use std::future::pending;
use std::num::NonZeroU64;
use std::time::Duration;

use cluster_smol::{Cluster, Event, WorkerId, WorkerState};
use smol::Timer;

use crate::Failure;

/// Replaces the oldest worker whenever its time has come: a new one is started, and when it
/// listens, the old one is asked to leave. So there is always somebody who listens.
pub(crate) struct Rolling {
    clock: Option<(Timer, Duration)>,
    /// The new worker that does not listen yet.
    fresh: Option<WorkerId>,
}

impl Rolling {
    pub(crate) fn new(every: Option<NonZeroU64>) -> Self {
        let clock = every.map(|every| {
            let period = Duration::from_millis(every.get());
            (Timer::after(period), period)
        });
        Self { clock, fresh: None }
    }

    /// Waits until the next worker is to be replaced.
    pub(crate) async fn due(&mut self) {
        match &mut self.clock {
            Some((timer, period)) => {
                (&mut *timer).await;
                timer.set_after(*period);
            }
            None => pending().await,
        }
    }

    /// Starts the next worker, unless the last one has not come up yet.
    pub(crate) async fn begin(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        if self.fresh.is_none() {
            self.fresh = Some(cluster.fork().await?.id());
        }
        Ok(())
    }

    /// Goes on when the new worker listens; if it dies instead, the old one stays. Says whether
    /// the event was the death of the new one, which so needs no replacement.
    pub(crate) async fn go_on(
        &mut self,
        cluster: &Cluster,
        event: &Event,
    ) -> Result<bool, Failure> {
        match event {
            Event::Listening { worker, .. } if self.fresh == Some(*worker) => {
                self.fresh = None;
                let stays =
                    |state| state != WorkerState::Draining && state < WorkerState::Disconnected;
                let workers = cluster.workers().await?;
                let oldest = workers.iter().find(|it| it.id() != *worker && stays(it.state()));
                if let Some(oldest) = oldest {
                    oldest.disconnect();
                }
                Ok(false)
            }
            Event::Exit { worker, .. } if self.fresh == Some(*worker) => {
                self.fresh = None;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
