//! Ends that nobody has agreed to.

use std::time::Duration;

use cluster_tests::script::{AtEnd, Step};
use nix::sys::signal;
use nix::unistd::Pid;

use super::support::{Gate, Scene};
use crate::provider::cluster::{Signal, WorkerState};

pub(crate) async fn worker_kill(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let pid = worker.pid().expect("it runs").0;
    let pid = Pid::from_raw(i32::try_from(pid).expect("the system's numbers are small"));
    signal::kill(pid, signal::Signal::SIGKILL).expect("it is ours");
    stage.hears_end(&worker, "code=- signal=SIGKILL", false).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_kill_signal(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    worker.kill(Signal::TERM);
    stage.hears_end(&worker, "code=- signal=SIGTERM", false).await;
    assert_eq!(worker.exited_after_disconnect(), Some(false));
    assert_eq!(worker.state(), WorkerState::Dead);
    stage.nothing_else().await;
}

pub(crate) async fn kill_infinite_loop(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.has(&worker, Step::BusyLoop).await;
    worker.kill(Signal::KILL);
    stage.hears_end(&worker, "code=- signal=SIGKILL", false).await;
    stage.nothing_else().await;
}

pub(crate) async fn kill_disconnect(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.tell(&worker, Step::Kill("SIGTERM".to_owned())).await;
    stage.hears(["draining 1"]).await;
    stage.hears_end(&worker, "code=- signal=SIGTERM", true).await;
    let worker = stage.worker().await;
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears_leave(&worker).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_destroy(scene: Scene) {
    let mut stage = scene.stage();
    let ends = [Step::Kill("SIGKILL".to_owned()), Step::DisconnectThenKill("SIGKILL".to_owned())];
    for end in ends {
        let worker = stage.worker().await;
        stage.tell(&worker, end).await;
        stage.hears([format!("draining {}", worker.id())]).await;
        stage.hears_end(&worker, "code=- signal=SIGKILL", true).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn call_and_destroy(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let gate = Gate::new();
    stage.has(&worker, Step::AtEnd(AtEnd::Wait(gate.address()))).await;
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears(["draining 1", "disconnect 1 exited_after_disconnect=true"]).await;
    assert_eq!(worker.state(), WorkerState::Disconnected);
    let _held_up = gate.arrived().await;
    worker.kill(Signal::TERM);
    stage.hears(["exit 1 code=- signal=SIGTERM exited_after_disconnect=true"]).await;
    worker.kill(Signal::TERM);
    worker.disconnect();
    worker.close_channel();
    stage.nothing_else().await;
}

pub(crate) async fn kill_after(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.has(&worker, Step::Stay).await;
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    worker.disconnect_within(Duration::from_millis(1));
    stage.hears_end(&worker, "code=- signal=SIGKILL", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn kill_before_online(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.fork().await;
    worker.kill(Signal::STOP);
    worker.kill(Signal::KILL);
    worker.exited().await.expect("the cluster is there");
    let lines = [
        "fork 1 PID",
        "disconnect 1 exited_after_disconnect=false",
        "exit 1 code=- signal=SIGKILL exited_after_disconnect=false",
    ];
    stage.hears_among(lines, &["online 1"]).await;
    stage.nothing_else().await;
}
