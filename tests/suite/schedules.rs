//! What one schedule has for itself: connections that the primary accepts and deals out, or a
//! socket that the kernel shares.

use std::fs;
use std::os::unix::process::CommandExt;

use cluster_tests::script::{End, Step};
use nix::unistd::geteuid;

use super::support::{Client, Scene, Stage, failed};
use crate::provider::cluster::{Signal, WorkerState};

pub(crate) async fn server_restart_rr(scene: Scene) {
    restart(scene.stage(), &scene.anywhere()).await;
}

pub(crate) async fn server_restart_none(scene: Scene) {
    restart(scene.stage(), &scene.anywhere()).await;
}

pub(crate) async fn bind_privileged_port(scene: Scene) {
    ask_for_port_one(&scene).await;
}

pub(crate) async fn shared_handle_bind_privileged_port(scene: Scene) {
    ask_for_port_one(&scene).await;
}

pub(crate) async fn shared_handle_bind_error(scene: Scene) {
    let busy = scene.stranger();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let before = stage.ask(&worker, Step::Descriptors).await;
    let listen = Step::Listen(0, busy.address().to_string());
    assert_eq!(stage.ask(&worker, listen).await, failed("AddrInUse"));
    assert_eq!(worker.state(), WorkerState::Online);
    assert_eq!(stage.ask(&worker, Step::Descriptors).await, before, "it keeps no useless socket");
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

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

/// One of two workers that share an address closes its listener and listens again.
async fn restart(mut stage: Stage, address: &str) {
    let (first, address) = stage.server(address).await;
    let (second, _) = stage.server(&address.to_string()).await;
    for _ in 0..3 {
        stage.has(&first, Step::Close(0)).await;
        for _ in 0..2 {
            assert_eq!(Client::connect(address).await.served_by().await, 2);
        }
        stage.listen(&first, 0, &address.to_string()).await;
        stage.has(&first, Step::Serve(0)).await;
        // It has joined the others behind them.
        stage.is_served(address, &[2, 1, 2, 1]).await;
    }
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

/// A primary without rights is asked for a port that needs some.
async fn ask_for_port_one(scene: &Scene) {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|it| it.trim().parse::<u16>().is_ok_and(|it| it <= 1)) {
        eprintln!("this machine lets everybody listen on every port");
        return;
    }
    let workers = vec![vec![Step::Listen(0, "127.0.0.1:1".to_owned())]];
    // Who may listen on every port takes another's place.
    let mut primary =
        scene.primary(workers, End::Disconnect, |command| match geteuid().is_root() {
            true => command.uid(NOBODY).gid(NOBODY),
            false => command,
        });
    primary.lines_until(&["report 1 Failed(\"PermissionDenied\")"]).await;
    primary.go_on();
    let (rest, status) = primary.end().await;
    assert!(status.success(), "{rest:?}");
}

/// Has no rights.
const NOBODY: u32 = 65_534;
