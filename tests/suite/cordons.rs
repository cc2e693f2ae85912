//! Workers that are cordoned off.

use cluster_tests::script::Step;

use super::support::{Client, Scene, Stage, text};
use crate::provider::cluster::{Signal, Worker};

pub(crate) async fn nothing_new_comes_to_a_cordoned_worker(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    assert!(!first.is_cordoned());
    let kept = loop {
        let client = Client::connect(address).await;
        if client.served_by().await == 1 {
            break client;
        }
    };
    for _ in 0..2 {
        // Again, it changes nothing.
        cordon(&mut stage, &first).await;
        for client in Client::crowd(address).await {
            assert_eq!(client.served_by().await, 2);
        }
        kept.echo().await;
    }
    uncordon(&mut stage, &first).await;
    stage.is_served(address, &[1, 2, 1, 2]).await;
    Client::all_serve(address, &[1, 2]).await;
    kept.echo().await;
    drop(kept);
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn who_comes_when_all_are_cordoned_waits(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    cordon(&mut stage, &first).await;
    cordon(&mut stage, &second).await;
    let waiting = Client::crowd(address).await;
    uncordon(&mut stage, &second).await;
    for client in waiting {
        assert_eq!(client.served_by().await, 2);
    }
    uncordon(&mut stage, &first).await;
    Client::all_serve(address, &[1, 2]).await;
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_worker_may_be_cordoned_before_it_listens(scene: Scene) {
    let mut stage = scene.stage();
    let first = stage.worker().await;
    cordon(&mut stage, &first).await;
    let address = stage.listen(&first, 0, &scene.anywhere()).await;
    stage.has(&first, Step::Serve(0)).await;
    let (second, _) = stage.server(&address.to_string()).await;
    for client in Client::crowd(address).await {
        assert_eq!(client.served_by().await, 2);
    }
    uncordon(&mut stage, &first).await;
    Client::all_serve(address, &[1, 2]).await;
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_cordon_ends_with_its_worker(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    cordon(&mut stage, &first).await;
    first.kill(Signal::KILL);
    stage.hears_end(&first, "code=- signal=SIGKILL", false).await;
    let (replacement, _) = stage.server(&address.to_string()).await;
    assert!(!replacement.is_cordoned());
    Client::all_serve(address, &[2, 3]).await;
    second.kill(Signal::KILL);
    stage.hears_end(&second, "code=- signal=SIGKILL", false).await;
    second.cordon();
    stage.nothing_yet().await;
    assert!(!second.is_cordoned(), "the dead cannot be");
    first.uncordon();
    Client::all_serve(address, &[3]).await;
    stage.disconnect([&replacement]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_cordoned_worker_leaves(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    cordon(&mut stage, &first).await;
    let waiting = Client::crowd(address).await;
    let (second, _) = stage.server(&address.to_string()).await;
    for client in waiting {
        assert_eq!(client.served_by().await, 2);
    }
    first.disconnect();
    stage.hears_leave(&first).await;
    Client::all_serve(address, &[2]).await;
    stage.disconnect([&second]).await;
    stage.nothing_else().await;
}

/// Cordons a worker off, and waits until it knows.
pub(super) async fn cordon(stage: &mut Stage, worker: &Worker) {
    worker.cordon();
    assert_eq!(stage.ask(worker, Step::Say("cordoned".to_owned())).await, text("cordoned"));
    assert!(worker.is_cordoned());
}

/// Lets a worker have connections again, and waits until it knows.
async fn uncordon(stage: &mut Stage, worker: &Worker) {
    worker.uncordon();
    assert_eq!(stage.ask(worker, Step::Say("free".to_owned())).await, text("free"));
    assert!(!worker.is_cordoned());
}
