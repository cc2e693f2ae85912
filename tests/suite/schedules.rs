//! What one schedule has for itself: connections that the primary accepts and deals out, or a
//! socket that the kernel shares.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::process::CommandExt;

use cluster_tests::script::{End, Options, Step};
use nix::unistd::geteuid;

use super::cordons::cordon;
use super::support::{Client, Scene, Stage, Stranger, failed};
use crate::provider::cluster::{Signal, WorkerState};

pub(crate) async fn server_restart_rr(scene: Scene) {
    restart(scene.stage(), &scene.anywhere()).await;
}

pub(crate) async fn server_restart_none(scene: Scene) {
    restart(scene.stage(), &scene.anywhere()).await;
}

pub(crate) async fn net_listen_ipv6only_rr(scene: Scene) {
    leaves_ipv4_alone(scene).await;
}

pub(crate) async fn net_listen_ipv6only_none(scene: Scene) {
    leaves_ipv4_alone(scene).await;
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

pub(crate) async fn shared_leak(scene: Scene) {
    let mut stage = scene.stage();
    for connected in [true, false] {
        let (first, address) = stage.server(&scene.anywhere()).await;
        let (second, _) = stage.server(&address.to_string()).await;
        let client = Client::connect(address).await;
        let by = client.served_by().await;
        let (busy, idle) =
            if by == first.id().number() { (first, second) } else { (second, first) };
        // Whoever has no connection goes at once, and the other one when it has ended.
        let client = connected.then_some(client);
        if connected {
            busy.disconnect();
            idle.disconnect();
            let draining = [&busy, &idle].map(|it| format!("draining {}", it.id()));
            stage.hears(draining).await;
            stage.hears_end(&idle, "code=0 signal=-", true).await;
            stage.nothing_yet().await;
            drop(client);
            stage.hears_end(&busy, "code=0 signal=-", true).await;
        } else {
            stage.disconnect([&busy, &idle]).await;
        }
        Client::is_refused(address).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn worker_handle_close(scene: Scene) {
    let mut stage = scene.stage();
    let first = stage.worker().await;
    let before = stage.ask(&first, Step::Descriptors).await;
    let address = stage.listen(&first, 0, &scene.anywhere()).await;
    let client = Client::connect(address).await;
    stage.until_untaken(&first, 1).await;
    let (second, _) = stage.server(&address.to_string()).await;
    // What it has not accepted goes to the other one.
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
    let clients = [Client::connect(address).await, Client::connect(address).await];
    stage.until_untaken(&first, 2).await;
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
    let client = Client::connect(address).await;
    stage.until_untaken(&third, 1).await;
    third.kill(Signal::KILL);
    stage.hears_end(&third, "code=- signal=SIGKILL", false).await;
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn fair_with_blocked_worker(scene: Scene) {
    let mut stage = scene.stage_of(scene.builder().window(2));
    let (blocked, address) = stage.listener(&scene.anywhere()).await;
    let waiting = [Client::connect(address).await, Client::connect(address).await];
    stage.until_untaken(&blocked, 2).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let (third, _) = stage.server(&address.to_string()).await;
    for _ in 0..6 {
        assert_ne!(Client::connect(address).await.served_by().await, 1);
    }
    // Others have room: it need not do anything for these.
    for client in waiting {
        assert_ne!(client.served_by().await, 1);
    }
    stage.has(&blocked, Step::Serve(0)).await;
    while Client::connect(address).await.served_by().await != 1 {}
    stage.disconnect([&blocked, &second, &third]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_cordoned_worker_may_take_what_it_was_handed(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.listener(&scene.anywhere()).await;
    let handed = Client::connect(address).await;
    stage.until_untaken(&first, 1).await;
    cordon(&mut stage, &first).await;
    stage.has(&first, Step::Serve(0)).await;
    assert_eq!(handed.served_by().await, 1);
    let (second, _) = stage.server(&address.to_string()).await;
    assert_eq!(Client::connect(address).await.served_by().await, 2);
    drop(handed);
    stage.disconnect([&first, &second]).await;
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

/// Workers listen for IPv6 only, and somebody else on the same port for IPv4.
async fn leaves_ipv4_alone(scene: Scene) {
    if Stranger::try_new("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let mut stage = scene.stage();
    let first = stage.worker().await;
    let only = Options { ipv6_only: true, ..Options::default() };
    let mut tries = 10;
    let (address, stranger) = loop {
        let address = stage.listen_with(&first, 0, "[::]:0", only.clone()).await;
        match Stranger::try_new(&format!("0.0.0.0:{}", address.port())) {
            Ok(stranger) => break (address, stranger),
            // Somebody else may have it by chance, though not always.
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
        }
        stage.has(&first, Step::Close(0)).await;
        tries -= 1;
        assert!(tries > 0, "no port is left to IPv4");
    };
    stage.has(&first, Step::Serve(0)).await;
    let second = stage.worker().await;
    assert_eq!(stage.listen_with(&second, 0, &address.to_string(), only).await, address);
    stage.has(&second, Step::Serve(0)).await;
    stage.is_served((Ipv6Addr::LOCALHOST, address.port()).into(), &[1, 2, 1, 2]).await;
    let client = Client::connect((Ipv4Addr::LOCALHOST, address.port()).into()).await;
    drop(stranger.accept().await);
    client.closed().await;
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
