//! Listeners, shared and not.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use cluster_tests::script::{Options, Report, Step};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::support::{Client, Folder, Forking, Scene, failed, text};
use crate::provider::cluster::{Event, Schedule, WorkerState};

pub(crate) async fn net_listen(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server("localhost:0").await;
    assert!(address.ip().is_loopback());
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn listening_port(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.tell(&worker, Step::Listen(0, scene.anywhere())).await;
    let Event::Listening { address, .. } = stage.next().await else { panic!("listening first") };
    let Report::Listening(own) = stage.report(&worker).await else { panic!("then the report") };
    assert_eq!(address.to_string(), own);
    let address: std::net::SocketAddr = own.parse().expect("TCP");
    assert_ne!(address.port(), 0);
    drop(Client::connect(address).await);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_listen_ipv6only_false(scene: Scene) {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let mut stage = scene.stage();
    let (first, address) = stage.server("[::]:0").await;
    let (second, again) = stage.server("[::]:0").await;
    assert_eq!(address, again);
    for (to, by) in [("127.0.0.1", 1), ("::1", 2), ("127.0.0.1", 1)] {
        let address = (to.parse::<std::net::IpAddr>().expect("an address"), address.port());
        let client = Client::connect(address.into()).await;
        stage.was_served(client.served_by().await, by, &[1, 2]);
    }
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_listen_backlog(scene: Scene) {
    const BACKLOG: u32 = 3;

    let folder = Folder::new();
    let path = folder.file("socket");
    let mut stage = scene.stage_of(scene.builder().window(1).waiting(1));
    let worker = stage.worker().await;
    let options = Options { backlog: Some(BACKLOG), ..Options::default() };
    let listen = Step::ListenWith(0, format!("unix:{}", path.display()), options);
    assert!(matches!(stage.ask(&worker, listen).await, Report::Listening(_)));
    stage.hears([format!("listening 1 unix:{}", path.display())]).await;
    // One in the worker, one in the primary, and one more in the kernel than it was told.
    let beside = if scene.schedule == Schedule::RoundRobin { 2 } else { 0 };
    let mut clients = Vec::new();
    while clients.len() < beside + BACKLOG as usize + 1 {
        match connect_at_once(&path) {
            Err(Errno::EAGAIN) => stage.nothing_yet().await,
            connected => clients.push(connected.expect("somebody listens")),
        }
    }
    for _ in 0..10 {
        stage.nothing_yet().await;
        assert_eq!(connect_at_once(&path).map(drop), Err(Errno::EAGAIN));
    }
    stage.has(&worker, Step::Serve(0)).await;
    assert_eq!(Client::connect_unix(path).await.served_by().await, 1);
    drop(clients);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn listen_fd_cluster(scene: Scene) {
    let mut stage = scene.stage();
    let listener = TcpListener::bind(scene.anywhere()).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let name = format!("fd:{}", listener.as_raw_fd());
    let (first, here) = stage.server(&name).await;
    let (second, there) = stage.server(&name).await;
    assert_eq!((here, there), (address, address));
    stage.is_served(address, &[1, 2, 1, 2]).await;
    stage.has(&first, Step::Close(0)).await;
    assert_eq!(Client::connect(address).await.served_by().await, 2);
    let other = UdpSocket::bind(scene.anywhere()).expect("there is a free port");
    // The primary has it, and cannot know what for; but it is of another kind.
    let wrong = Step::Listen(0, format!("fd:{}", other.as_raw_fd()));
    assert_eq!(stage.ask(&first, wrong).await, failed("InvalidInput"));
    stage.hears(["listening 1 udp:B"]).await;
    let none = Step::Listen(0, format!("fd:{}", i32::MAX));
    assert!(matches!(stage.ask(&first, none).await, Report::Failed(_)));
    stage.disconnect([&first, &second]).await;
    // The primary has its own as before.
    let client = Client::connect(address).await;
    drop(listener.accept().expect("it has come"));
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn tls_ticket_cluster(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(3).await;
    // The first data that there is, though the first worker may have none.
    for (slot, data, known) in [
        (0, ["keys", "other keys", ""], ["keys", "keys", "keys"]),
        (1, ["", "keys", "other keys"], ["", "keys", "keys"]),
    ] {
        for (worker, (data, known)) in workers.iter().zip(data.into_iter().zip(known)) {
            let options = Options { data: data.to_owned(), ..Options::default() };
            stage.listen_with(worker, slot, &scene.anywhere(), options).await;
            assert_eq!(stage.ask(worker, Step::Data(slot)).await, text(known));
        }
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn http_pipe(scene: Scene) {
    let folder = Folder::new();
    let path = folder.file("socket");
    let name = format!("unix:{}", path.display());
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    for worker in &workers {
        let report = stage.ask(worker, Step::Listen(0, name.clone())).await;
        assert_eq!(report, Report::Listening(name.clone()));
        stage.hears([format!("listening {} {name}", worker.id())]).await;
        stage.has(worker, Step::Serve(0)).await;
    }
    for by in [1, 2, 1, 2] {
        let client = Client::connect_unix(path.clone()).await;
        stage.was_served(client.served_by().await, by, &[1, 2]);
        client.echo().await;
    }
    stage.has(&workers[0], Step::Close(0)).await;
    assert_eq!(Client::connect_unix(path.clone()).await.served_by().await, 2);
    stage.disconnect(&workers).await;
    assert!(!path.exists(), "the file is removed with the last worker");
    stage.nothing_else().await;
}

pub(crate) async fn bind_twice(scene: Scene) {
    let (mut one, mut other) = (scene.stage(), scene.stage());
    let (holder, address) = one.server(&scene.anywhere()).await;
    let worker = other.worker().await;
    let listen = Step::Listen(0, address.to_string());
    assert_eq!(other.ask(&worker, listen.clone()).await, failed("AddrInUse"));
    assert_eq!(worker.state(), WorkerState::Online);
    one.disconnect([&holder]).await;
    one.nothing_else().await;
    Forking::wait();
    let listens = Report::Listening(address.to_string());
    assert_eq!(other.ask(&worker, listen).await, listens);
    other.hears(["listening 1 A"]).await;
    other.disconnect([&worker]).await;
    other.nothing_else().await;
}

pub(crate) async fn eaddrinuse(scene: Scene) {
    let busy = scene.stranger();
    let address = busy.address();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let listen = Step::Listen(0, address.to_string());
    for _ in 0..2 {
        assert_eq!(stage.ask(&worker, listen.clone()).await, failed("AddrInUse"));
    }
    busy.leave();
    assert_eq!(stage.listen(&worker, 0, &address.to_string()).await, address);
    stage.has(&worker, Step::Serve(0)).await;
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn eaccess(scene: Scene) {
    let folder = Folder::new();
    let path = folder.file("taken");
    fs::write(&path, "somebody else's").expect("there is room");
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let at = |path: &Path| Step::Listen(0, format!("unix:{}", path.display()));
    assert_eq!(stage.ask(&worker, at(&path)).await, failed("AddrInUse"));
    let nowhere = folder.file("missing").join("socket");
    assert_eq!(stage.ask(&worker, at(&nowhere)).await, failed("NotFound"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
    let left = fs::read_to_string(&path).expect("it is never removed");
    assert_eq!(left, "somebody else's");
}

pub(crate) async fn ipc_throw(scene: Scene) {
    let busy = scene.stranger();
    let address = busy.address().to_string();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    assert_eq!(stage.ask(&worker, Step::Listen(0, address)).await, failed("AddrInUse"));
    stage.has(&worker, Step::Stay).await;
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears(["draining 1"]).await;
    stage.tell(&worker, Step::Panic).await;
    stage.hears_end(&worker, "code=101 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_disconnect_on_error(scene: Scene) {
    let busy = scene.stranger();
    let address = busy.address().to_string();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    assert_eq!(stage.ask(&worker, Step::Listen(0, address)).await, failed("AddrInUse"));
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears_leave(&worker).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_index_net(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    for _ in 0..10 {
        let address = stage.listen(&worker, 0, &scene.anywhere()).await;
        assert_ne!(stage.listen(&worker, 1, &scene.anywhere()).await, address);
        stage.has(&worker, Step::Close(0)).await;
        Client::is_refused(address).await;
        stage.has(&worker, Step::Close(1)).await;
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_listen_twice(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let again = stage.ask(&worker, Step::Listen(1, address.to_string())).await;
    assert_eq!(again, failed("AddrInUse"));
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    stage.has(&worker, Step::Close(0)).await;
    // One listener, and now none.
    Client::is_refused(address).await;
    assert_eq!(stage.listen(&worker, 1, &address.to_string()).await, address);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_server_close_before_ipc_response(scene: Scene) {
    let free = scene.stranger();
    let address = free.address();
    free.leave();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.has(&worker, Step::ListenAndDrop(address.to_string())).await;
    assert_eq!(stage.ask(&worker, Step::Say("closed".to_owned())).await, text("closed"));
    Client::is_refused(address).await;
    // The answer came before it was known that nobody waits for it.
    stage.hears(["listening 1 A"]).await;
    assert_eq!(stage.listen(&worker, 0, &address.to_string()).await, address);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

/// Connects without waiting for room.
fn connect_at_once(path: &Path) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}
