//! The conformance suite on `tokio_current`.

#[macro_use]
#[path = "../suite/mod.rs"]
mod suite;

/// The provider, and the fixture that is built with it.
mod provider {
    pub(crate) use cluster_tests::provider::tokio_current::*;

    pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_worker_tokio_current");
}

conformance!();

mod killing {
    use std::time::Duration;

    use cluster_tests::script::Step;

    use crate::provider::cluster::Schedule;
    use crate::suite::support::scene::run_by;

    /// Time passes only when the runtime has nothing else to do, and then at once.
    #[test]
    fn kill_after_in_paused_time() {
        const HOUR: Duration = Duration::from_secs(3600);

        run_by(Schedule::RoundRobin, |scene| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
            runtime.block_on(async {
                let mut stage = scene.stage_of(scene.builder().kill_after(HOUR));
                let worker = stage.worker().await;
                stage.has(&worker, Step::Stay).await;
                let asked = tokio::time::Instant::now();
                worker.disconnect();
                stage.hears(["draining 1"]).await;
                stage.hears_end(&worker, "code=- signal=SIGKILL", true).await;
                assert!(asked.elapsed() >= HOUR);
                stage.nothing_else().await;
            });
        });
    }
}
