//! Messages in both directions.

use std::collections::BTreeMap;

use cluster_tests::script::{AtEnd, Report, Rich, Script, Step};
use serde::Serialize;

use super::support::{Forking, Gate, Scene, Stage, settings_of, text};
use crate::provider::cluster::{Encoding, SendError, Settings, TrySendError, Worker};

pub(crate) async fn child_process_internal(scene: Scene) {
    #[derive(Serialize)]
    struct Internal<'a> {
        cmd: &'a str,
        act: &'a str,
        ack: i32,
    }
    let mut stage = scene.stage_with(Settings::new().encoding(Encoding::Json));
    let worker = stage.worker().await;
    for cmd in ["NODE_CLUSTER", "NODE_HANDLE", "NODE_", "CLUSTER_"] {
        // What looks like the channel's own is the application's: it is no step, and no harm.
        let message = Internal { cmd, act: "disconnect", ack: -1 };
        worker.send(&message).await.expect("the worker is there");
        assert_eq!(stage.report(&worker).await, Report::Undecodable);
        let said = serde_json::to_string(&message).expect("it has a JSON form");
        assert_eq!(stage.ask(&worker, Step::Say(said.clone())).await, text(&said));
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn invalid_message(scene: Scene) {
    let longest = r"printf '\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377' >&3";
    for script in ["echo this is no frame at all >&3", "head -c 100000 /dev/zero >&3", longest] {
        let mut stage = scene.stage_with(Settings::new().exec("/bin/sh").args(["-c", script]));
        let worker = stage.fork().await;
        stage.hears(["fork 1 PID"]).await;
        let error = stage.next().await.to_string();
        assert!(error.starts_with("error 1 channel: "), "{error}");
        stage.hears_any_end(&worker).await;
        stage.nothing_else().await;
    }
}

pub(crate) async fn child_process_send_returns_boolean(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let gate = Gate::new();
    stage.tell(&worker, Step::Wait(gate.address())).await;
    let arrived = gate.arrived().await;
    let large = |number: u32| format!("{number} {}", "x".repeat(100_000));
    let mut sent = 0;
    let refused = loop {
        match worker.try_send(&Step::Say(large(sent))) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, TrySendError::Full), "{refused}");
    assert!((1..100).contains(&sent), "{sent}");
    arrived.open();
    worker.feed(&Step::Say(large(sent))).await.expect("there will be room");
    assert_eq!(stage.report(&worker).await, Report::Done);
    for number in 0..=sent {
        assert_eq!(stage.report(&worker).await, text(&large(number)));
    }
    worker.try_send(&Step::Say("room".to_owned())).expect("there is room again");
    assert_eq!(stage.report(&worker).await, text("room"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn slow_reader(scene: Scene) {
    const MOST: u32 = 1024;
    const LARGE: usize = 64 * 1024;

    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let gate = Gate::new();
    let fill = Step::Fill { gate: gate.address(), bytes: LARGE, most: MOST };
    stage.tell(&worker, fill).await;
    // Nobody reads events here until the worker has found no room any more.
    gate.arrived().await.open();
    let mut heard = 0;
    let filled = loop {
        match stage.report(&worker).await {
            Report::Text(text) if text.len() == LARGE => heard += 1,
            Report::Filled(filled) => break filled,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(heard, filled);
    assert!((1..64).contains(&filled), "{filled} messages wait for a reader that takes none");
    assert_eq!(stage.ask(&worker, Step::Say("room".to_owned())).await, text("room"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn large_message(scene: Scene) {
    for encoding in [Encoding::Postcard, Encoding::Json] {
        let mut stage = scene.stage_with(Settings::new().encoding(encoding));
        let worker = stage.worker().await;
        let large = "large ".repeat(16 * 1024 * 1024 / 6);
        let report = stage.ask(&worker, Step::Say(large.clone())).await;
        assert!(report == Report::Text(large), "it comes back as it went");
        stage.disconnect([&worker]).await;
        stage.nothing_else().await;
    }
}

pub(crate) async fn child_process_send_cb(scene: Scene) {
    let mut stage = scene.stage();
    for _ in 0..5 {
        let worker = stage.worker().await;
        let last = "last words ".repeat(10_000);
        stage.tell(&worker, Step::SayAndExit(last.clone())).await;
        assert_eq!(stage.report(&worker).await, Report::Text(last));
        stage.hears_end(&worker, "code=0 signal=-", false).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn child_process_send_after_close(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.has(&worker, Step::AtEnd(AtEnd::Tell)).await;
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    stage.hears_end(&worker, "code=20 signal=-", true).await;
    assert!(matches!(worker.send("late").await, Err(SendError::Disconnected)));
    assert!(matches!(worker.feed("late").await, Err(SendError::Disconnected)));
    let refused = worker.try_send("late");
    assert!(matches!(refused, Err(TrySendError::Send(SendError::Disconnected))));
    stage.nothing_else().await;
}

pub(crate) async fn child_process_ipc_next_tick(scene: Scene) {
    let mut stage = scene.stage_with(Settings::new().encoding(Encoding::Json));
    let worker = stage.worker().await;
    for number in 0..10 {
        worker.feed(&number).await.expect("the worker is there");
    }
    for _ in 0..10 {
        assert_eq!(stage.report(&worker).await, Report::Undecodable);
    }
    assert_eq!(stage.ask(&worker, Step::Say("fine".to_owned())).await, text("fine"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_ref(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.tell(&worker, Step::Count(100)).await;
    stage.tell(&worker, Step::Disconnect).await;
    hears_count(&mut stage, &worker, 100).await;
    stage.hears_leave(&worker).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_ref2(scene: Scene) {
    let mut stage = scene.stage();
    let script = Script { early: vec![], steps: vec![Step::DisconnectThenReceive] };
    let worker = stage.fork_with(&script).await;
    stage.hears(["fork 1 PID", "online 1", "draining 1"]).await;
    stage.hears_end(&worker, "code=20 signal=-", true).await;
    // The same on this side.
    let mut late = worker.events();
    assert!(late.next().await.is_none());
    stage.nothing_else().await;
}

pub(crate) async fn message_before_subscription(scene: Scene) {
    // To the primary, where nobody has asked for events yet.
    let cluster = scene.builder().start().expect("the settings are good");
    let script = Script { early: vec![], steps: vec![Step::Count(3), Step::Exit(0)] };
    let forking = Forking::new();
    let worker = cluster.fork_with(settings_of(&script)).await.expect("it can be started");
    drop(forking);
    worker.exited().await.expect("the cluster is there");
    let mut stage = scene.stage_for(cluster);
    stage.hears(["fork 1 PID", "online 1"]).await;
    hears_count(&mut stage, &worker, 3).await;
    stage.hears_end(&worker, "code=0 signal=-", false).await;
    // To a worker that does not receive yet.
    let gate = Gate::new();
    let script = Script { early: vec![], steps: vec![Step::Wait(gate.address())] };
    let worker = stage.fork_with(&script).await;
    let arrived = gate.arrived().await;
    for number in 1..=3 {
        stage.tell(&worker, Step::Say(number.to_string())).await;
    }
    arrived.open();
    stage.hears(["fork 2 PID", "online 2", "report 2 Done"]).await;
    hears_count(&mut stage, &worker, 3).await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn advanced_serialization(scene: Scene) {
    let rich = rich(3);
    for encoding in [Encoding::Postcard, Encoding::Json] {
        let mut stage = scene.stage_with(Settings::new().encoding(encoding));
        let worker = stage.worker().await;
        let report = stage.ask(&worker, Step::Repeat(rich.clone())).await;
        assert_eq!(report, Report::Rich(rich.clone()));
        stage.disconnect([&worker]).await;
        stage.nothing_else().await;
    }
}

/// Asserts that a worker counts, and that nobody says anything in between.
async fn hears_count(stage: &mut Stage, worker: &Worker, most: u32) {
    let line = |number| format!("report {} Text(\"{number}\")", worker.id());
    stage.hears((1..=most).map(line)).await;
}

/// Values of many kinds, so many levels deep.
fn rich(depth: u32) -> Rich {
    Rich {
        numbers: (u64::MAX, i64::MIN, 0.1),
        text: "\u{0} \u{7f} ß € 🦀 \u{2028}\"\\\n".to_owned(),
        bytes: (0..=255).collect(),
        options: vec![None, Some(true), Some(false)],
        map: BTreeMap::from([(String::new(), '🦀'), ("key".to_owned(), '\n')]),
        children: (0..depth).map(|it| rich(it.min(depth - 1))).collect(),
    }
}
