//! Where Node is untested or wrong.

use std::pin::pin;

use cluster_tests::script::{Early, Script, Step};

use super::support::{Client, Forking, Gate, Scene, Stranger, at_once, failed, text};
use crate::provider::cluster::{SendError, Signal, TrySendError, WorkerState};
use crate::provider::spawn;

pub(crate) async fn disconnect_all_waits_for_all(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let second = stage.worker().await;
    let third = stage.worker().await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    let cluster = stage.cluster.clone();
    let mut left = pin!(cluster.disconnect());
    assert_eq!(at_once(left.as_mut()).await, None);
    stage.hears(["draining 1", "draining 2", "draining 3"]).await;
    stage
        .hears_unordered([
            "disconnect 2 exited_after_disconnect=true",
            "disconnect 3 exited_after_disconnect=true",
            "exit 2 code=0 signal=- exited_after_disconnect=true",
            "exit 3 code=0 signal=- exited_after_disconnect=true",
        ])
        .await;
    client.echo().await;
    stage.nothing_yet().await;
    assert_eq!(at_once(left.as_mut()).await, None, "one has not left");
    drop(client);
    assert_eq!(left.await, Ok(()));
    Client::is_refused(address).await;
    stage.hears_end(&first, "code=0 signal=-", true).await;
    drop((second, third));
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_twice_is_noop(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    worker.disconnect();
    worker.disconnect();
    stage.tell(&worker, Step::Disconnect).await;
    let cluster = stage.cluster.clone();
    let (mut one, mut other) = (pin!(cluster.disconnect()), pin!(cluster.disconnect()));
    assert_eq!(at_once(one.as_mut()).await, None);
    assert_eq!(at_once(other.as_mut()).await, None);
    stage.hears(["draining 1"]).await;
    assert_eq!(stage.ask(&worker, Step::Say("here".to_owned())).await, text("here"));
    drop(client);
    assert_eq!((one.await, other.await), (Ok(()), Ok(())));
    stage.hears_end(&worker, "code=0 signal=-", true).await;
    worker.disconnect();
    stage.nothing_else().await;
}

pub(crate) async fn disconnect_event_with_handle_in_flight(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.listener(&scene.anywhere()).await;
    worker.kill(Signal::STOP);
    let clients = [Client::connect(address).await, Client::connect(address).await];
    worker.kill(Signal::KILL);
    stage.hears_end(&worker, "code=- signal=SIGKILL", false).await;
    for client in clients {
        client.closed().await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn two_waiters_on_failing_bind(scene: Scene) {
    let busy = scene.stranger();
    let address = busy.address().to_string();
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    for worker in &workers {
        stage.tell(worker, Step::Listen(0, address.clone())).await;
    }
    let failed = |id| format!("report {id} Failed(\"AddrInUse\")");
    stage.hears_unordered([failed(1), failed(2)]).await;
    busy.leave();
    for worker in &workers {
        stage.listen(worker, 0, &address).await;
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn waiter_leaves_during_bind(scene: Scene) {
    let free = scene.stranger();
    let address = free.address();
    free.leave();
    let mut stage = scene.stage();
    for id in 1..=3 {
        let worker = stage.worker().await;
        stage.tell(&worker, Step::ListenAndLeave(address.to_string())).await;
        let lines = [
            format!("draining {id}"),
            format!("disconnect {id} exited_after_disconnect=true"),
            format!("exit {id} code=0 signal=- exited_after_disconnect=true"),
        ];
        // The answer may have been faster.
        stage.hears_among(lines, &[&format!("listening {id} A")]).await;
    }
    stage.nothing_else().await;
    Forking::wait();
    Stranger::new(&address.to_string()).leave();
}

pub(crate) async fn listen_during_shutdown(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    let listen = Step::Listen(1, scene.anywhere());
    assert_eq!(stage.ask(&worker, listen).await, failed("NotConnected"));
    drop(client);
    stage.hears_end(&worker, "code=0 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn nonblocking_is_kept(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.listener(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(stage.ask(&worker, Step::IsNonblocking(0)).await, text("true"));
    client.closed().await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn exit_before_disconnect(scene: Scene) {
    let mut stage = scene.stage();
    let gate = Gate::new();
    let script = Script { early: vec![Early::HoldChannel(gate.address())], steps: vec![] };
    let worker = stage.fork_with(&script).await;
    let holder = gate.arrived().await;
    stage.hears(["fork 1 PID", "online 1"]).await;
    stage.tell(&worker, Step::Exit(3)).await;
    stage.hears(["exit 1 code=3 signal=- exited_after_disconnect=false"]).await;
    assert_eq!(worker.state(), WorkerState::Dead);
    let found = stage.cluster.worker(worker.id()).await;
    assert!(found.is_ok_and(|it| it.is_some()), "it is there until both ends have come");
    holder.open();
    stage.hears(["disconnect 1 exited_after_disconnect=false"]).await;
    assert_eq!(worker.state(), WorkerState::Dead);
    stage.nothing_else().await;
}

pub(crate) async fn explicit_port_after_port_zero(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, again) = stage.server(&address.to_string()).await;
    assert_eq!(address, again);
    stage.is_served(address, &[1, 2, 1, 2]).await;
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn listen_port_zero_pairs(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let mut all = Vec::new();
    for worker in &workers {
        let mut own = Vec::new();
        for slot in 0..3 {
            own.push(stage.listen(worker, slot, &scene.anywhere()).await);
        }
        all.push(own);
    }
    assert_eq!(all[0], all[1], "the n-th is the n-th of the other");
    all[0].dedup();
    assert_eq!(all[0].len(), 3, "each is another port");
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn failed_listen_frees_its_place(scene: Scene) {
    let busy = scene.stranger();
    let address = busy.address().to_string();
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let listen = Step::Listen(0, address.clone());
    assert_eq!(stage.ask(&workers[0], listen.clone()).await, failed("AddrInUse"));
    busy.leave();
    for worker in workers.iter().rev() {
        stage.listen(worker, 0, &address).await;
        stage.has(worker, Step::Serve(0)).await;
    }
    stage.is_served(address.parse().expect("it is TCP"), &[2, 1, 2, 1]).await;
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn supervisor_survives_send_races(scene: Scene) {
    let mut stage = scene.stage();
    let (steady, address) = stage.server(&scene.anywhere()).await;
    for round in 0..10 {
        let (worker, _) = stage.server(&address.to_string()).await;
        for _ in 0..4 {
            spawn(async move { drop(Client::try_connect(address).await) }).detach();
        }
        for number in 0..20 {
            match worker.try_send(&Step::Say(number.to_string())) {
                Ok(()) => {}
                // It may be known already that it has gone.
                Err(TrySendError::Send(SendError::Disconnected)) if number > 2 * round => {}
                Err(error) => panic!("it has not gone yet: {error}"),
            }
            if number == 2 * round {
                worker.kill(Signal::KILL);
            }
        }
        worker.disconnect();
        worker.close_channel();
        worker.exited().await.expect("the cluster is there");
        // However far it came, it has two ends, and nobody else has any.
        stage.hears_until_ended(&worker).await;
    }
    assert_eq!(stage.ask(&steady, Step::Say("fine".to_owned())).await, text("fine"));
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    stage.disconnect([&steady]).await;
    stage.nothing_else().await;
}

pub(crate) async fn two_clusters_one_process(scene: Scene) {
    let (mut one, mut other) = (scene.stage(), scene.stage());
    let (mine, here) = one.server(&scene.anywhere()).await;
    let (yours, there) = other.server(&scene.anywhere()).await;
    assert_eq!(mine.id(), yours.id(), "both are the first");
    assert_ne!(here, there);
    assert_ne!(mine.pid(), yours.pid());
    one.disconnect([&mine]).await;
    one.nothing_else().await;
    assert_eq!(Client::connect(there).await.served_by().await, 1);
    other.nothing_yet().await;
    other.disconnect([&yours]).await;
    other.nothing_else().await;
}

pub(crate) async fn draining_event(scene: Scene) {
    let mut stage = scene.stage();
    let (leaving, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    let (staying, _) = stage.server(&address.to_string()).await;
    stage.tell(&leaving, Step::Disconnect).await;
    stage.hears(["draining 1"]).await;
    assert_eq!(leaving.state(), WorkerState::Draining);
    assert_eq!(leaving.exited_after_disconnect(), Some(true));
    // Its replacement can start, and new connections go to others, while it finishes.
    let (replacement, _) = stage.server(&address.to_string()).await;
    stage.is_served(address, &[2, 3, 2, 3]).await;
    client.echo().await;
    drop(client);
    stage.hears_end(&leaving, "code=0 signal=-", true).await;
    stage.disconnect([&staying, &replacement]).await;
    stage.nothing_else().await;
}
