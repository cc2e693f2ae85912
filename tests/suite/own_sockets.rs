//! Listeners that a worker has for itself.

use std::collections::BTreeSet;

use cluster_tests::script::{AtEnd, Options, Step};

use super::support::{Client, Gate, Scene, failed};

pub(crate) async fn net_reuseport(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let address = stage.listen_alone(&worker, 0, &scene.anywhere(), reuse_port()).await;
    for (slot, other) in [(1, 0), (0, 1), (1, 0)] {
        let again = stage.listen_alone(&worker, slot, &address.to_string(), reuse_port()).await;
        assert_eq!(again, address);
        stage.has(&worker, Step::Close(other)).await;
        // Each is a socket of its own.
        stage.has(&worker, Step::Serve(slot)).await;
        let client = Client::connect(address).await;
        assert_eq!(client.served_by().await, 1);
        client.echo().await;
    }
    let shared = Step::Listen(2, address.to_string());
    assert_eq!(stage.ask(&worker, shared).await, failed("AddrInUse"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_net_reuseport(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(3).await;
    let mut address = None;
    for worker in &workers {
        let name =
            address.map_or_else(|| scene.anywhere(), |it: std::net::SocketAddr| it.to_string());
        let listens = stage.listen_alone(worker, 0, &name, reuse_port()).await;
        assert_eq!(*address.get_or_insert(listens), listens);
        stage.has(worker, Step::Serve(0)).await;
    }
    let address = address.expect("there are workers");
    // The kernel spreads connections as it likes, and leaves nobody out for ever.
    let mut served = BTreeSet::new();
    while served.len() < workers.len() {
        served.insert(Client::connect(address).await.served_by().await);
    }
    assert_eq!(served, BTreeSet::from([1, 2, 3]));
    stage.disconnect(&workers).await;
    Client::is_refused(address).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_listen_handle_in_cluster_2(scene: Scene) {
    let mut stage = scene.stage();
    let (sharing, shared) = stage.server(&scene.anywhere()).await;
    let worker = stage.worker().await;
    let exclusive = Options { exclusive: true, ..Options::default() };
    let taken = Step::ListenWith(0, shared.to_string(), exclusive.clone());
    assert_eq!(stage.ask(&worker, taken).await, failed("AddrInUse"));
    let address = stage.listen_alone(&worker, 0, &scene.anywhere(), exclusive).await;
    stage.has(&worker, Step::Serve(0)).await;
    for by in [1, 1] {
        assert_eq!(Client::connect(shared).await.served_by().await, by);
        assert_eq!(Client::connect(address).await.served_by().await, 2);
    }
    // Nor is it closed by a leave.
    let gate = Gate::new();
    stage.has(&worker, Step::AtEnd(AtEnd::Wait(gate.address()))).await;
    worker.disconnect();
    stage.hears(["draining 2", "disconnect 2 exited_after_disconnect=true"]).await;
    let held_up = gate.arrived().await;
    assert_eq!(Client::connect(address).await.served_by().await, 2);
    held_up.open();
    stage.hears(["exit 2 code=0 signal=- exited_after_disconnect=true"]).await;
    Client::is_refused(address).await;
    stage.disconnect([&sharing]).await;
    stage.nothing_else().await;
}

fn reuse_port() -> Options {
    Options { reuse_port: true, ..Options::default() }
}
