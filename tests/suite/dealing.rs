//! Connections that the primary accepts and deals out.

use cluster_tests::script::Step;

use super::support::{Client, Scene};
use crate::provider::cluster::Signal;

pub(crate) async fn worker_handle_close(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.listener(&scene.anywhere()).await;
    let before = stage.ask(&first, Step::Descriptors).await;
    let sockets = stage.sockets(&first).await;
    let client = Client::connect(address).await;
    stage.until_it_holds(&first, sockets, 1).await;
    let (second, _) = stage.server(&address.to_string()).await;
    // What it has not accepted is refused, closed, and goes to the other one.
    stage.has(&first, Step::Close(0)).await;
    assert_eq!(client.served_by().await, 2);
    drop(client);
    assert_eq!(stage.ask(&first, Step::Descriptors).await, before);
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn inflight_redispatch(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.listener(&scene.anywhere()).await;
    let sockets = stage.sockets(&first).await;
    let clients = [Client::connect(address).await, Client::connect(address).await];
    stage.until_it_holds(&first, sockets, 2).await;
    let (second, _) = stage.server(&address.to_string()).await;
    first.kill(Signal::KILL);
    stage.hears_end(&first, "code=- signal=SIGKILL", false).await;
    for client in clients {
        assert_eq!(client.served_by().await, 2);
        client.echo().await;
    }
    stage.disconnect([&second]).await;
    // If nobody is left, its client sees a close.
    let (third, address) = stage.listener(&scene.anywhere()).await;
    let sockets = stage.sockets(&third).await;
    let client = Client::connect(address).await;
    stage.until_it_holds(&third, sockets, 1).await;
    third.kill(Signal::KILL);
    stage.hears_end(&third, "code=- signal=SIGKILL", false).await;
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn fair_with_blocked_worker(scene: Scene) {
    let mut stage = scene.stage_of(scene.builder().window(2));
    let (blocked, address) = stage.listener(&scene.anywhere()).await;
    let sockets = stage.sockets(&blocked).await;
    let waiting = [Client::connect(address).await, Client::connect(address).await];
    stage.until_it_holds(&blocked, sockets, 2).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let (third, _) = stage.server(&address.to_string()).await;
    for _ in 0..6 {
        for by in [2, 3] {
            assert_eq!(Client::connect(address).await.served_by().await, by);
        }
    }
    assert_eq!(stage.sockets(&blocked).await, sockets + 2, "no more than its window");
    stage.has(&blocked, Step::Serve(0)).await;
    for client in waiting {
        assert_eq!(client.served_by().await, 1);
    }
    stage.disconnect([&blocked, &second, &third]).await;
    stage.nothing_else().await;
}
