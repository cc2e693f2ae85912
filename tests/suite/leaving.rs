//! Graceful ends.

use std::pin::pin;

use cluster_tests::script::{AtEnd, Script, Step};

use super::support::{Client, Correspondent, Gate, Scene, at_once, text};
use crate::provider::cluster::WorkerState;

pub(crate) async fn worker_disconnect(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    stage.has(&worker, Step::AtEnd(AtEnd::Exit(7))).await;
    let mut own = worker.events();
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    stage.hears_end(&worker, "code=7 signal=-", true).await;
    assert_eq!(own.next().await.map(|it| it.to_string()).as_deref(), Some("draining 1"));
    assert_eq!(worker.exited_after_disconnect(), Some(true));
    Client::is_refused(address).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_forced_exit(scene: Scene) {
    let mut stage = scene.stage();
    // An accident: it has no choice.
    let worker = stage.worker().await;
    stage.has(&worker, Step::AtEnd(AtEnd::Exit(7))).await;
    worker.close_channel();
    stage.hears_end(&worker, "code=0 signal=-", false).await;
    // Its own will: it has.
    let worker = stage.worker().await;
    stage.has(&worker, Step::AtEnd(AtEnd::Exit(7))).await;
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears(["draining 2"]).await;
    stage.hears_end(&worker, "code=7 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn process_disconnect(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    stage.tell(&worker, Step::CloseChannel).await;
    stage.hears_end(&worker, "code=0 signal=-", false).await;
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_wait_server_close(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    // It is on its way, and still there for its connection and for messages.
    assert_eq!(stage.ask(&worker, Step::Say("still here".to_owned())).await, text("still here"));
    client.echo().await;
    assert_eq!(worker.state(), WorkerState::Draining);
    stage.nothing_yet().await;
    drop(client);
    stage.hears_end(&worker, "code=0 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect(scene: Scene) {
    let mut stage = scene.stage();
    for _ in 0..2 {
        let workers = stage.workers(8).await;
        let mut addresses = [None, None];
        for worker in &workers {
            for (slot, address) in (0..).zip(&mut addresses) {
                let listens = stage.listen(worker, slot, &scene.anywhere()).await;
                assert_eq!(*address.get_or_insert(listens), listens, "the same for all");
                stage.has(worker, Step::Serve(slot)).await;
            }
        }
        for address in addresses.into_iter().flatten() {
            let ids: Vec<_> = workers.iter().map(|it| it.id().number()).collect();
            stage.is_served(address, &ids).await;
        }
        stage.disconnect(&workers).await;
        for address in addresses.into_iter().flatten() {
            Client::is_refused(address).await;
        }
    }
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_before_exit(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let gate = Gate::new();
    stage.has(&worker, Step::AtEnd(AtEnd::Wait(gate.address()))).await;
    worker.disconnect();
    stage.hears(["draining 1", "disconnect 1 exited_after_disconnect=true"]).await;
    let held_up = gate.arrived().await;
    let cluster = stage.cluster.clone();
    let mut left = pin!(cluster.disconnect());
    assert_eq!(at_once(left.as_mut()).await, None);
    stage.nothing_yet().await;
    assert_eq!(at_once(left.as_mut()).await, None, "it has not exited");
    held_up.open();
    assert_eq!(left.await, Ok(()));
    stage.hears(["exit 1 code=0 signal=- exited_after_disconnect=true"]).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_idle_worker(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.cluster.disconnect().await.expect("the cluster is there");
    assert_eq!(stage.cluster.workers().await.map(|it| it.len()), Ok(0));
    stage.hears_leave(&worker).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_with_no_workers(scene: Scene) {
    let stage = scene.stage();
    assert_eq!(stage.cluster.disconnect().await, Ok(()));
    assert_eq!(stage.cluster.disconnect().await, Ok(()));
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_exitedafterdisconnect_race(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(4).await;
    for worker in &workers {
        stage.tell(worker, Step::Disconnect).await;
        // Its leave is known before its channel ends, however soon that is.
        stage.hears_leave(worker).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_race(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let second = stage.worker().await;
    stage.tell(&second, Step::Listen(0, address.to_string())).await;
    second.disconnect();
    // It may or may not have got its listener, and have been heard saying so.
    let others = ["listening 2 A", "report 2 Listening A", "report 2 Failed(\"NotConnected\")"];
    let lines = [
        "draining 2",
        "disconnect 2 exited_after_disconnect=true",
        "exit 2 code=0 signal=- exited_after_disconnect=true",
    ];
    stage.hears_among(lines, &others).await;
    for _ in 0..3 {
        assert_eq!(Client::connect(address).await.served_by().await, 1);
    }
    stage.disconnect([&first]).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_leak(scene: Scene) {
    let mut stage = scene.stage();
    let step = Step::Listen(0, scene.anywhere());
    let script = Script { early: vec![], steps: vec![step] };
    let worker = stage.fork_with(&script).await;
    worker.disconnect();
    let lines = [
        "fork 1 PID",
        "draining 1",
        "online 1",
        "disconnect 1 exited_after_disconnect=true",
        "exit 1 code=0 signal=- exited_after_disconnect=true",
    ];
    let others = ["listening 1 A", "report 1 Listening A", "report 1 Failed(\"NotConnected\")"];
    stage.hears_among(lines, &others).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_unshared_tcp(scene: Scene) {
    let mut stage = scene.stage();
    let (sharing, address) = stage.server(&scene.anywhere()).await;
    let alone = stage.worker().await;
    alone.disconnect();
    stage.hears_leave(&alone).await;
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    stage.disconnect([&sharing]).await;
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_unshared_udp(scene: Scene) {
    let mut stage = scene.stage();
    let sharing = stage.worker().await;
    let address = stage.listen(&sharing, 0, &format!("udp:{}", scene.anywhere())).await;
    stage.has(&sharing, Step::Serve(0)).await;
    let alone = stage.worker().await;
    alone.disconnect();
    stage.hears_leave(&alone).await;
    assert_eq!(Correspondent::new(&scene.anywhere()).answered_by(address).await, 1);
    stage.disconnect([&sharing]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_disconnect(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.has(&worker, Step::AtEnd(AtEnd::Tell)).await;
    stage.tell(&worker, Step::Disconnect).await;
    // Asking again changes nothing, whether it has gone by now or not.
    worker.disconnect();
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    stage.hears_end(&worker, "code=20 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn dropped_cluster(scene: Scene) {
    let mut stage = scene.stage();
    drop(stage.worker().await);
    let mut lines = stage.hears_out().await;
    lines[1..].sort();
    let exit = "exit 1 code=0 signal=- exited_after_disconnect=true";
    assert_eq!(lines, ["draining 1", "disconnect 1", exit]);
}
