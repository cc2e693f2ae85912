//! Descriptors that travel with messages.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use cluster_tests::script::Step;

use super::support::{Client, Correspondent, Scene, Stranger, text};
use crate::provider::cluster::{Handle, Signal};
use crate::provider::{AsyncReadExt, AsyncWriteExt, spawn};

pub(crate) async fn net_send(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.listener(&scene.anywhere()).await;
    stage.tell(&worker, Step::Give(0)).await;
    let client = Client::connect(address).await;
    let message = stage.message(&worker).await;
    assert_eq!(message.decode().ok(), Some(text("given")));
    let handle = Handle::take_from(&message).expect("the runtime takes it");
    let Some(Handle::TcpStream(mut stream)) = handle else { panic!("it is a connection") };
    assert!(Handle::take_from(&message).is_ok_and(|it| it.is_none()), "there is one");
    stream.write_all(b"0\n").await.expect("the client is there");
    assert_eq!(client.served_by().await, 0, "by nobody but the primary");
    let echo = async move {
        let mut buffer = [0; 9];
        stream.read_exact(&mut buffer).await.expect("the client is there");
        stream.write_all(&buffer).await.expect("the client is there");
    };
    spawn(echo).detach();
    client.echo().await;
    // The worker has kept nothing of it.
    client.closed().await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn send_socket_to_worker_http_server(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let stranger = scene.stranger();
    let (sent, connection) = connection(&stranger).await;
    let kind = stage.hand(&worker, Step::Adopt(1), connection).await;
    assert_eq!(kind, text("a TCP connection"));
    let accepted = Client::connect(address).await;
    for client in [&sent, &accepted] {
        assert_eq!(client.served_by().await, 1);
        client.echo().await;
    }
    // A worker that leaves waits for both.
    worker.disconnect();
    stage.hears(["draining 1"]).await;
    drop(accepted);
    assert_eq!(stage.ask(&worker, Step::Say("here".to_owned())).await, text("here"));
    sent.echo().await;
    stage.nothing_yet().await;
    drop(sent);
    stage.hears_end(&worker, "code=0 signal=-", true).await;
    stage.nothing_else().await;
}

pub(crate) async fn net_listen_handle_in_cluster_1(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let listener = TcpListener::bind(scene.anywhere()).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let kind = stage.hand(&workers[1], Step::Adopt(0), adopted(listener)).await;
    assert_eq!(kind, text("a TCP listener"));
    stage.has(&workers[1], Step::Serve(0)).await;
    for _ in 0..3 {
        let client = Client::connect(address).await;
        assert_eq!(client.served_by().await, 2);
        client.echo().await;
    }
    stage.has(&workers[1], Step::Close(0)).await;
    // There was no other copy, and the primary knows nothing of it.
    Client::is_refused(address).await;
    stage.nothing_yet().await;
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_send_keep_open(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let (client, connection) = connection(&scene.stranger()).await;
    let Handle::TcpStream(mut own) = connection else { panic!("it is a connection") };
    let copy = Handle::copy_of(&own).expect("there is room");
    assert_eq!(stage.hand(&worker, Step::Adopt(0), copy).await, text("a TCP connection"));
    assert_eq!(client.served_by().await, 1);
    own.write_all(b"0\n").await.expect("the client is there");
    assert_eq!(client.served_by().await, 0, "by the primary");
    client.echo().await;
    // The end of one is not the end of the other.
    worker.kill(Signal::KILL);
    stage.hears_end(&worker, "code=- signal=SIGKILL", false).await;
    own.write_all(b"0\n").await.expect("the client is there");
    assert_eq!(client.served_by().await, 0);
    drop(own);
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_dgram(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let client = Correspondent::new(&scene.anywhere());
    let socket = UdpSocket::bind(scene.anywhere()).expect("there is a free port");
    let address = socket.local_addr().expect("it is bound");
    let Handle::UdpSocket(own) = adopted(socket) else { panic!("it is UDP") };
    let copy = Handle::copy_of(&own).expect("there is room");
    assert_eq!(stage.hand(&worker, Step::Adopt(0), copy).await, text("a UDP socket"));
    for round in 0..3 {
        // Whoever of the two receives gets it.
        client.send(address, &format!("primary {round}"));
        let mut buffer = [0; 100];
        let (count, from) = own.recv_from(&mut buffer).await.expect("a datagram comes");
        assert_eq!(&buffer[..count], format!("primary {round}").as_bytes());
        assert_eq!(from, client.address());
        stage.tell(&worker, Step::Receive(0)).await;
        client.send(address, &format!("worker {round}"));
        assert_eq!(stage.report(&worker).await, text(&format!("worker {round}")));
    }
    stage.has(&worker, Step::Send(0, client.address(), "from both".to_owned())).await;
    assert_eq!(client.receive().await, ("from both".to_owned(), address));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_net_server(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let listener = TcpListener::bind(scene.anywhere()).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let Handle::TcpListener(own) = adopted(listener) else { panic!("it is a listener") };
    for _ in 0..3 {
        let copy = Handle::copy_of(&own).expect("there is room");
        assert_eq!(stage.hand(&worker, Step::Adopt(0), copy).await, text("a TCP listener"));
        // Whoever of the two accepts gets it.
        let client = Client::connect(address).await;
        let (mut stream, peer) = own.accept().await.expect("a client comes");
        assert!(peer.ip().is_loopback());
        stream.write_all(b"0\n").await.expect("the client is there");
        assert_eq!(client.served_by().await, 0, "by the primary");
        stage.has(&worker, Step::Serve(0)).await;
        assert_eq!(Client::connect(address).await.served_by().await, 1);
        stage.has(&worker, Step::Close(0)).await;
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_net_socket(scene: Scene) {
    let mut stage = scene.stage();
    let stranger = scene.stranger();
    let worker = stage.worker().await;
    for _ in 0..3 {
        let (client, connection) = connection(&stranger).await;
        let kind = stage.hand(&worker, Step::Adopt(0), connection).await;
        assert_eq!(kind, text("a TCP connection"));
        assert_eq!(client.served_by().await, 1);
        client.echo().await;
    }
    let (client, connection) = connection(&stranger).await;
    stage.hand(&worker, Step::Adopt(0), connection).await;
    assert_eq!(client.served_by().await, 1);
    // The primary has kept nothing of it.
    worker.kill(Signal::KILL);
    stage.hears_end(&worker, "code=- signal=SIGKILL", false).await;
    client.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_net(scene: Scene) {
    let mut stage = scene.stage();
    let stranger = scene.stranger();
    let workers = stage.workers(3).await;
    let mut clients = Vec::new();
    for worker in workers.iter().cycle().take(12) {
        let (client, connection) = connection(&stranger).await;
        let kind = stage.hand(worker, Step::Adopt(0), connection).await;
        assert_eq!(kind, text("a TCP connection"));
        clients.push((client, worker.id().number()));
    }
    for (client, by) in clients.iter().rev() {
        assert_eq!(client.served_by().await, *by);
        client.echo().await;
    }
    // Each worker that leaves serves its own to their end.
    for worker in &workers {
        worker.disconnect();
    }
    stage.hears(["draining 1", "draining 2", "draining 3"]).await;
    for id in 1..=3 {
        for (client, _) in &clients {
            client.echo().await;
        }
        stage.nothing_yet().await;
        clients.retain(|(_, by)| *by != id);
        stage.hears_end(&workers[id as usize - 1], "code=0 signal=-", true).await;
    }
    stage.nothing_else().await;
}

/// A client, and the primary's end of its connection.
async fn connection(stranger: &Stranger) -> (Client, Handle) {
    let client = Client::connect(stranger.address()).await;
    (client, adopted(stranger.accept().await))
}

fn adopted(socket: impl Into<OwnedFd>) -> Handle {
    Handle::adopt(socket.into()).expect("the runtime takes it")
}
