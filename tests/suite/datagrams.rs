//! UDP sockets of workers: shared, or under `Sharded` one for each.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;

use cluster_tests::script::{Options, Report, Step};

use super::support::{Correspondent, Forking, Scene, failed, text};

pub(crate) async fn dgram_2(scene: Scene) {
    const EACH: u32 = 10;

    let mut stage = scene.stage();
    let primary = Correspondent::new(&scene.anywhere());
    let workers = stage.workers(4).await;
    let mut shared = None;
    let mut expected = Vec::new();
    for worker in &workers {
        let address = stage.listen(worker, 0, &anywhere(&scene)).await;
        assert_eq!(*shared.get_or_insert(address), address, "the same for all");
        for number in 0..EACH {
            let said = format!("{} says {number}", worker.id());
            stage.has(worker, Step::Send(0, primary.address(), said.clone())).await;
            expected.push((said, address));
        }
    }
    let mut received = Vec::new();
    for _ in &expected {
        received.push(primary.receive().await);
    }
    assert_eq!(received, expected);
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_bind_shared_ports(scene: Scene) {
    let mut stage = scene.stage();
    let client = Correspondent::new(&scene.anywhere());
    let workers = stage.workers(2).await;
    let shared = stage.listen(&workers[0], 0, &anywhere(&scene)).await;
    assert_eq!(stage.listen(&workers[1], 0, &anywhere(&scene)).await, shared);
    let exclusive = || Options { exclusive: true, ..Options::default() };
    let mut apart = Vec::new();
    for worker in &workers {
        apart.push(stage.listen_alone(worker, 1, &anywhere(&scene), exclusive()).await);
        let same = Step::ListenWith(2, udp(shared), exclusive());
        assert_eq!(stage.ask(worker, same).await, failed("AddrInUse"));
        stage.has(worker, Step::Serve(0)).await;
        stage.has(worker, Step::Serve(1)).await;
    }
    assert!(apart[0] != apart[1] && !apart.contains(&shared), "{shared} {apart:?}");
    for _ in 0..4 {
        assert!((1..=2).contains(&client.answered_by(shared).await));
        assert_eq!(client.answered_by(apart[0]).await, 1);
        assert_eq!(client.answered_by(apart[1]).await, 2);
    }
    // One of the two goes on alone.
    stage.has(&workers[0], Step::Close(0)).await;
    for _ in 0..4 {
        assert_eq!(client.answered_by(shared).await, 2);
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_ipv6only(scene: Scene) {
    let Ok(six) = Correspondent::try_new("[::1]:0") else {
        eprintln!("this machine has no IPv6");
        return;
    };
    let four = Correspondent::new("127.0.0.1:0");
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let only = Options { ipv6_only: true, ..Options::default() };
    let mut tries = 10;
    let port = loop {
        let port = stage.listen_with(&worker, 6, "udp:[::]:0", only.clone()).await.port();
        let same = format!("udp:0.0.0.0:{port}");
        match stage.try_listen(&worker, 4, &same, Options::default()).await {
            Ok(_) => break port,
            // Somebody else may have it by chance, though not always.
            Err(report) => assert_eq!(report, failed("AddrInUse")),
        }
        stage.has(&worker, Step::Close(6)).await;
        tries -= 1;
        assert!(tries > 0, "no port is left to IPv4");
    };
    for (client, slot) in [(&four, 4), (&six, 6)] {
        client.send(SocketAddr::new(client.address().ip(), port), &format!("by IPv{slot}"));
        let received = stage.ask(&worker, Step::Receive(slot)).await;
        assert_eq!(received, text(&format!("by IPv{slot}")));
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_reuse(scene: Scene) {
    let reuse = Options { reuse_address: true, ..Options::default() };
    let mut stage = scene.stage();
    let client = Correspondent::new(&scene.anywhere());
    let workers = stage.workers(2).await;
    let address = stage.listen_with(&workers[0], 0, &anywhere(&scene), reuse.clone()).await;
    for (worker, slots) in workers.iter().zip([1..2, 0..2]) {
        for slot in slots {
            let again = stage.listen_with(worker, slot, &udp(address), reuse.clone()).await;
            assert_eq!(again, address);
        }
    }
    // Both must want it.
    let single = Step::Listen(2, udp(address));
    assert_eq!(stage.ask(&workers[0], single).await, failed("AddrInUse"));
    // The n-th of one worker is the n-th of the other: without the first one's second socket,
    // the last that was bound, which gets the datagrams, is still there.
    for (closed, by) in [(None, 0..=2), (Some((0, 1)), 2..=2), (Some((1, 1)), 1..=2)] {
        if let Some((worker, slot)) = closed {
            let worker: usize = worker;
            stage.has(&workers[worker], Step::Close(slot)).await;
            // A child of another test may have a copy until its program runs: what comes to that
            // is lost.
            Forking::wait();
        } else {
            for worker in &workers {
                for slot in [0, 1] {
                    stage.has(worker, Step::Serve(slot)).await;
                }
            }
        }
        for _ in 0..3 {
            assert!(by.contains(&client.answered_by(address).await));
        }
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_reuseport(scene: Scene) {
    let reuse = Options { reuse_port: true, ..Options::default() };
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let address = stage.listen_alone(&worker, 0, &anywhere(&scene), reuse.clone()).await;
    let client = Correspondent::new(&scene.anywhere());
    for (slot, other) in [(1, 0), (0, 1), (1, 0)] {
        assert_eq!(stage.listen_alone(&worker, slot, &udp(address), reuse.clone()).await, address);
        stage.has(&worker, Step::Close(other)).await;
        // Each is a socket of its own.
        stage.has(&worker, Step::Serve(slot)).await;
        assert_eq!(client.answered_by(address).await, 1);
    }
    let shared = Step::Listen(2, udp(address));
    assert_eq!(stage.ask(&worker, shared).await, failed("AddrInUse"));
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_cluster_bind_error(scene: Scene) {
    let busy = Correspondent::new(&scene.anywhere());
    let address = busy.address();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    for _ in 0..2 {
        let bind = Step::Listen(0, udp(address));
        assert_eq!(stage.ask(&worker, bind).await, failed("AddrInUse"));
    }
    busy.leave();
    assert_eq!(stage.listen(&worker, 0, &udp(address)).await, address);
    stage.has(&worker, Step::Serve(0)).await;
    assert_eq!(Correspondent::new(&scene.anywhere()).answered_by(address).await, 1);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_bind_socket_close_before_cluster_reply(scene: Scene) {
    let busy = Correspondent::new(&scene.anywhere());
    let address = busy.address();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let before = stage.ask(&worker, Step::Descriptors).await;
    stage.has(&worker, Step::ListenAndDrop(udp(address))).await;
    assert_eq!(stage.ask(&worker, Step::Descriptors).await, before);
    stage.nothing_yet().await;
    busy.leave();
    assert_eq!(stage.listen(&worker, 0, &udp(address)).await, address);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_cluster_close_during_bind(scene: Scene) {
    let free = Correspondent::new(&scene.anywhere());
    let address = free.address();
    free.leave();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let before = stage.ask(&worker, Step::Descriptors).await;
    stage.has(&worker, Step::ListenAndDrop(udp(address))).await;
    assert_eq!(stage.ask(&worker, Step::Descriptors).await, before);
    // The answer came before it was known that nobody waits for it.
    stage.hears(["listening 1 udp:A"]).await;
    Forking::wait();
    Correspondent::new(&address.to_string()).leave();
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn child_index_dgram(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let [datagrams, streams] = [anywhere(&scene), scene.anywhere()];
    for _ in 0..5 {
        let mut all = Vec::new();
        for (worker, order) in workers.iter().zip([[0, 1, 2], [2, 0, 1]]) {
            let mut own = [None; 3];
            for slot in order {
                let name = if slot == 2 { &streams } else { &datagrams };
                own[usize::from(slot)] = Some(stage.listen(worker, slot, name).await);
            }
            assert_ne!(own[0], own[1], "they never collide");
            all.push(own);
        }
        assert_eq!(all[0], all[1], "each has its place, whatever is beside it");
        for worker in &workers {
            for slot in 0..3 {
                stage.has(worker, Step::Close(slot)).await;
            }
        }
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn dgram_bind_fd(scene: Scene) {
    let mut stage = scene.stage();
    let client = Correspondent::new(&scene.anywhere());
    let socket = UdpSocket::bind(scene.anywhere()).expect("there is a free port");
    let address = socket.local_addr().expect("it is bound");
    let name = format!("udp:fd:{}", socket.as_raw_fd());
    let workers = stage.workers(2).await;
    for worker in &workers {
        assert_eq!(stage.listen(worker, 0, &name).await, address);
        stage.has(worker, Step::Serve(0)).await;
    }
    for _ in 0..4 {
        assert!((1..=2).contains(&client.answered_by(address).await));
    }
    stage.has(&workers[0], Step::Close(0)).await;
    assert_eq!(client.answered_by(address).await, 2);
    let other = TcpListener::bind(scene.anywhere()).expect("there is a free port");
    // The primary has it, and cannot know what for; but it is of another kind.
    let wrong = Step::Listen(0, format!("udp:fd:{}", other.as_raw_fd()));
    assert_eq!(stage.ask(&workers[0], wrong).await, failed("InvalidInput"));
    stage.hears(["listening 1 B"]).await;
    let none = Step::Listen(0, format!("udp:fd:{}", i32::MAX));
    assert!(matches!(stage.ask(&workers[0], none).await, Report::Failed(_)));
    stage.disconnect(&workers).await;
    // The primary has its own as before.
    client.send(address, "to the primary");
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).expect("it has come");
    assert_eq!(&buffer[..count], b"to the primary");
    stage.nothing_else().await;
}

pub(crate) async fn dgram_cluster_close_in_listening(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let before = stage.ask(&worker, Step::Descriptors).await;
    let mut letters = 'A'..;
    for _ in 0..5 {
        stage.tell(&worker, Step::Listen(0, anywhere(&scene))).await;
        stage.tell(&worker, Step::Close(0)).await;
        let letter = letters.next().expect("few addresses");
        stage.hears([format!("listening 1 udp:{letter}")]).await;
        stage.hears([format!("report 1 Listening udp:{letter}"), "report 1 Done".into()]).await;
    }
    assert_eq!(stage.ask(&worker, Step::Descriptors).await, before);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

/// Any free port of this test's host.
fn anywhere(scene: &Scene) -> String {
    format!("udp:{}", scene.anywhere())
}

/// The address, as a fixture knows it.
fn udp(address: SocketAddr) -> String {
    format!("udp:{address}")
}
