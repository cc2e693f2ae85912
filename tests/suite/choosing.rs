//! Who gets the next connection, where it is not just whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use cluster_tests::script::{Report, Step};

use super::support::{Client, Correspondent, Folder, Forking, Scene, Stage, Stranger, failed};
use crate::provider::cluster::{
    Choice, Key, Overload, Rule, Schedule, Signal, View, Worker, WorkerId,
};

pub(crate) async fn every_shard_is_reached(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, again) = stage.server(&scene.anywhere()).await;
    let (third, _) = stage.server(&address.to_string()).await;
    assert_eq!(address, again);
    Client::all_serve(address, &[1, 2, 3]).await;
    stage.disconnect([&first, &second, &third]).await;
    Client::is_refused(address).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_killed_shard_is_inherited(scene: Scene) {
    let mut stage = scene.stage();
    let (victim, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let (third, _) = stage.server(&address.to_string()).await;
    let (mut cut, mut kept) = (Vec::new(), Vec::new());
    while cut.is_empty() || kept.is_empty() {
        let client = Client::connect(address).await;
        if client.served_by().await == 1 { &mut cut } else { &mut kept }.push(client);
    }
    // Some are queued for it when it dies.
    stage.stop(&victim).await;
    let queued = Client::crowd(address).await;
    victim.kill(Signal::KILL);
    stage.hears_end(&victim, "code=- signal=SIGKILL", false).await;
    for client in cut {
        client.closed().await;
    }
    for client in queued {
        assert!([2, 3].contains(&client.served_by().await));
    }
    let (replacement, _) = stage.server(&address.to_string()).await;
    Client::all_serve(address, &[2, 3, 4]).await;
    for client in kept {
        client.echo().await;
    }
    stage.disconnect([&second, &third, &replacement]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_busy_shard_holds_up_nobody(scene: Scene) {
    let mut stage = scene.stage();
    let (busy, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    stage.has(&busy, Step::BusyLoop).await;
    for client in Client::crowd(address).await {
        // Some runtimes have a thread left.
        assert!([1, 2].contains(&client.served_by().await));
    }
    busy.kill(Signal::KILL);
    stage.hears_end(&busy, "code=- signal=SIGKILL", false).await;
    stage.disconnect([&second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_stopped_shard_is_left_out_until_it_goes_on(scene: Scene) {
    let mut stage = scene.stage();
    let (stopped, address) = stage.listener(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    stage.stop(&stopped).await;
    for client in Client::crowd(address).await {
        assert_eq!(client.served_by().await, 2);
    }
    stopped.kill(Signal::CONT);
    stage.has(&stopped, Step::Serve(0)).await;
    Client::all_serve(address, &[1, 2]).await;
    stage.disconnect([&stopped, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_roll_of_shards_loses_nobody(scene: Scene) {
    let mut stage = scene.stage();
    let (mut old, address) = stage.server(&scene.anywhere()).await;
    let (other, _) = stage.server(&address.to_string()).await;
    for _ in 0..3 {
        let (new, _) = stage.server(&address.to_string()).await;
        let mut clients = Client::crowd(address).await;
        old.disconnect();
        clients.extend(Client::crowd(address).await);
        for client in &clients {
            client.served_by().await;
            client.echo().await;
        }
        drop(clients);
        stage.hears_leave(&old).await;
        Client::all_serve(address, &[other.id().number(), new.id().number()]).await;
        old = new;
    }
    stage.disconnect([&old, &other]).await;
    stage.nothing_else().await;
}

pub(crate) async fn shards_on_port_zero_pair(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let mut all = Vec::new();
    for worker in &workers {
        let mut own = Vec::new();
        for slot in 0..2 {
            own.push(stage.listen(worker, slot, &scene.anywhere()).await);
            stage.has(worker, Step::Serve(slot)).await;
        }
        all.push(own);
    }
    assert_eq!(all[0], all[1], "the n-th is the n-th of the other");
    assert_ne!(all[0][0], all[0][1]);
    for address in &all[0] {
        Client::all_serve(*address, &[1, 2]).await;
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn what_cannot_be_sharded_goes_round(scene: Scene) {
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
        assert_eq!(Client::connect_unix(path.clone()).await.served_by().await, by);
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn datagrams_of_a_peer_stay_together(scene: Scene) {
    let mut stage = scene.stage();
    let workers = stage.workers(2).await;
    let mut shared = None;
    for worker in &workers {
        let address = stage.listen(worker, 0, &format!("udp:{}", scene.anywhere())).await;
        assert_eq!(*shared.get_or_insert(address), address);
        stage.has(worker, Step::Serve(0)).await;
    }
    let address = shared.expect("there are workers");
    let mut answered = BTreeSet::new();
    while answered.len() < workers.len() {
        let peer = Correspondent::new(&scene.anywhere());
        let by = peer.answered_by(address).await;
        for _ in 0..5 {
            assert_eq!(peer.answered_by(address).await, by);
        }
        answered.insert(by);
    }
    assert_eq!(answered, BTreeSet::from([1, 2]));
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_sharded_address_is_in_use(scene: Scene) {
    let (mut stage, mut other) = (scene.stage(), scene.stage());
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let stranger = other.worker().await;
    let same = Step::Listen(0, address.to_string());
    assert_eq!(other.ask(&stranger, same.clone()).await, failed("AddrInUse"));
    assert!(Stranger::try_new(&address.to_string()).is_err());
    Client::all_serve(address, &[1]).await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
    Forking::wait();
    // It is free again.
    assert_eq!(other.listen(&stranger, 0, &address.to_string()).await, address);
    other.disconnect([&stranger]).await;
    other.nothing_else().await;
}

pub(crate) async fn the_least_loaded_is_next(scene: Scene) {
    evens_out(&scene, Schedule::LeastLoaded).await;
}

pub(crate) async fn the_less_loaded_of_two_is_next(scene: Scene) {
    evens_out(&scene, Schedule::PowerOfTwo).await;
}

pub(crate) async fn a_peer_sticks_to_its_worker(scene: Scene) {
    let mut stage = scene.stage_of(scene.builder().schedule(sticky(None)));
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let (third, _) = stage.server(&address.to_string()).await;
    let before = served_peers(address).await;
    assert_eq!(served_peers(address).await, before);
    let serving = |peers: &BTreeMap<_, u32>| peers.values().copied().collect::<BTreeSet<_>>();
    assert_eq!(serving(&before), BTreeSet::from([1, 2, 3]));
    second.disconnect();
    stage.hears_leave(&second).await;
    let without = served_peers(address).await;
    assert_eq!(serving(&without), BTreeSet::from([1, 3]));
    assert_moved(&before, &without, |from, _| from == 2);
    let (fourth, _) = stage.server(&address.to_string()).await;
    let after = served_peers(address).await;
    assert_eq!(serving(&after), BTreeSet::from([1, 3, 4]));
    assert_moved(&without, &after, |_, to| to == 4);
    stage.disconnect([&first, &third, &fourth]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_bound_moves_a_peer_on(scene: Scene) {
    let mut stage = scene.stage_of(scene.builder().schedule(sticky(NonZeroU32::new(100))));
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let mut clients = Vec::new();
    let mut by = Vec::new();
    for _ in 0..6 {
        let client = Client::connect_from(peer(1), address).await;
        by.push(client.served_by().await);
        clients.push(client);
    }
    let (own, other) = if by[0] == 1 { (1, 2) } else { (2, 1) };
    assert_eq!(by, [own, other, own, other, own, other], "nobody has more than its part");
    drop(clients);
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_rule_names_the_worker(scene: Scene) {
    let rule = |view: &View<'_>| number(view, 2);
    let mut stage = scene.stage_of(scene.builder().schedule(Schedule::Custom(Rule(rule))));
    let (workers, address) = servers(&mut stage, &scene, 3).await;
    for client in Client::crowd(address).await {
        assert_eq!(client.served_by().await, 2);
    }
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_rule_lets_some_wait_for_a_worker(scene: Scene) {
    let rule = |view: &View<'_>| number(view, if is_from(view, peer(1)) { 2 } else { 1 });
    let mut stage = scene.stage_of(scene.builder().schedule(Schedule::Custom(Rule(rule))));
    let (first, address) = stage.server(&scene.anywhere()).await;
    let waiting = Client::connect_from(peer(1), address).await;
    // Those behind it do not wait.
    for _ in 0..3 {
        assert_eq!(Client::connect(address).await.served_by().await, 1);
    }
    let (second, _) = stage.server(&address.to_string()).await;
    assert_eq!(waiting.served_by().await, 2);
    drop(waiting);
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_rule_lets_some_wait_for_an_end(scene: Scene) {
    let rule = |view: &View<'_>| {
        let idle = view.ready().find(|it| it.load() == 0);
        idle.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
    };
    let mut stage = scene.stage_of(scene.builder().schedule(Schedule::Custom(Rule(rule))));
    let (workers, address) = servers(&mut stage, &scene, 2).await;
    let [one, other] = [Client::connect(address).await, Client::connect(address).await];
    let by = [one.served_by().await, other.served_by().await];
    let waiting = [Client::connect(address).await, Client::connect(address).await];
    drop(other);
    assert_eq!(waiting[0].served_by().await, by[1], "the other one has a connection");
    drop(one);
    assert_eq!(waiting[1].served_by().await, by[0], "the other one has a connection again");
    drop(waiting);
    stage.disconnect(&workers).await;
    stage.nothing_else().await;
}

pub(crate) async fn a_rules_nonsense_harms_nobody_else(scene: Scene) {
    let rule = |view: &View<'_>| match view.ready().next() {
        Some(next) if !is_from(view, peer(1)) => Choice::Worker(next.worker),
        _ => WorkerId::new(u32::MAX).map_or(Choice::Wait, Choice::Worker),
    };
    let mut stage = scene.stage_of(scene.builder().schedule(Schedule::Custom(Rule(rule))));
    let (workers, address) = servers(&mut stage, &scene, 2).await;
    let nowhere = Client::connect_from(peer(1), address).await;
    for by in [1, 2, 1, 2] {
        assert_eq!(Client::connect(address).await.served_by().await, by);
    }
    stage.disconnect(&workers).await;
    nowhere.closed().await;
    stage.nothing_else().await;
}

pub(crate) async fn narrow_limits_keep_nobody_out(scene: Scene) {
    for schedule in ["rr", "none", "sharded", "least-loaded", "power-of-two", "sticky"] {
        let builder = scene.builder().schedule(schedule.parse().expect("its name"));
        let mut stage = scene.stage_of(builder.budget(1).window(1).waiting(1));
        let (workers, address) = servers(&mut stage, &scene, 2).await;
        for client in Client::crowd(address).await {
            client.served_by().await;
            client.echo().await;
        }
        stage.disconnect(&workers).await;
        stage.nothing_else().await;
    }
}

pub(crate) async fn a_slow_start_keeps_nobody_out(scene: Scene) {
    const HOUR: Duration = Duration::from_secs(3600);

    for schedule in [Schedule::RoundRobin, Schedule::LeastLoaded, Schedule::PowerOfTwo] {
        let builder = scene.builder().schedule(schedule);
        let mut stage = scene.stage_of(builder.slow_start(HOUR));
        let (workers, address) = servers(&mut stage, &scene, 2).await;
        for client in Client::crowd(address).await {
            client.served_by().await;
        }
        Client::all_serve(address, &[1, 2]).await;
        stage.disconnect(&workers).await;
        stage.nothing_else().await;
    }
}

pub(crate) async fn an_overloaded_cluster_may_close_what_it_cannot_serve(scene: Scene) {
    let builder = scene.builder().window(1).waiting(1).overload(Overload::Close);
    let mut stage = scene.stage_of(builder);
    let (worker, address) = stage.listener(&scene.anywhere()).await;
    // One with the worker, and one that waits.
    let mut clients = vec![Client::connect(address).await];
    stage.until_untaken(&worker, 1).await;
    clients.push(Client::connect(address).await);
    for _ in 0..3 {
        Client::connect(address).await.closed().await;
    }
    stage.has(&worker, Step::Serve(0)).await;
    for client in &clients {
        assert_eq!(client.served_by().await, 1);
    }
    assert_eq!(Client::connect(address).await.served_by().await, 1);
    drop(clients);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn what_two_workers_leave_untaken_goes_to_a_third(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.listener(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    stage.until_untaken(&first, 1).await;
    let second = stage.worker().await;
    stage.listen(&second, 0, &address.to_string()).await;
    stage.has(&first, Step::Close(0)).await;
    stage.until_untaken(&second, 1).await;
    let (third, _) = stage.server(&address.to_string()).await;
    stage.has(&second, Step::Close(0)).await;
    assert_eq!(client.served_by().await, 3);
    drop(client);
    stage.disconnect([&first, &second, &third]).await;
    stage.nothing_else().await;
}

/// New connections go where fewest are, and ends count.
async fn evens_out(scene: &Scene, schedule: Schedule) {
    let mut stage = scene.stage_of(scene.builder().schedule(schedule));
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (ending, by) = connected(address, 3).await;
    assert_eq!(by, [1, 1, 1]);
    let (second, _) = stage.server(&address.to_string()).await;
    let (staying, by) = connected(address, 3).await;
    assert_eq!(by, [2, 2, 2]);
    let (pair, mut by) = connected(address, 2).await;
    by.sort_unstable();
    assert_eq!(by, [1, 2], "they are even");
    drop(ending);
    // If ends did not count, there would never be more than two in a row.
    let mut row = Vec::new();
    while row.len() < 3 {
        let client = Client::connect(address).await;
        match client.served_by().await {
            1 => row.push(client),
            _ => row.clear(),
        }
    }
    drop((staying, pair, row));
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

/// So many workers that serve on one address.
async fn servers(stage: &mut Stage, scene: &Scene, count: usize) -> (Vec<Worker>, SocketAddr) {
    let (first, address) = stage.server(&scene.anywhere()).await;
    let mut workers = vec![first];
    while workers.len() < count {
        workers.push(stage.server(&address.to_string()).await.0);
    }
    (workers, address)
}

/// So many clients, and who serves them.
pub(super) async fn connected(address: SocketAddr, count: usize) -> (Vec<Client>, Vec<u32>) {
    let (mut clients, mut by) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let client = Client::connect(address).await;
        by.push(client.served_by().await);
        clients.push(client);
    }
    (clients, by)
}

/// Who serves each of some peers.
async fn served_peers(address: SocketAddr) -> BTreeMap<Ipv4Addr, u32> {
    let mut served = BTreeMap::new();
    for peer in (1..=24).map(peer) {
        served.insert(peer, Client::connect_from(peer, address).await.served_by().await);
    }
    served
}

/// Asserts that each peer is where it was, or had a reason to move.
fn assert_moved(
    before: &BTreeMap<Ipv4Addr, u32>,
    after: &BTreeMap<Ipv4Addr, u32>,
    may: impl Fn(u32, u32) -> bool,
) {
    for (peer, from) in before {
        let to = after[peer];
        assert!(*from == to || may(*from, to), "{peer} has moved from {from} to {to}");
    }
}

pub(super) fn sticky(bound: Option<NonZeroU32>) -> Schedule {
    Schedule::Sticky { by: Key::PeerIp, bound }
}

/// The worker with this number, as soon as there is one.
fn number(view: &View<'_>, number: u32) -> Choice {
    let found = view.candidates().iter().find(|it| it.worker.number() == number);
    found.map_or(Choice::Wait, |it| Choice::Worker(it.worker))
}

fn is_from(view: &View<'_>, host: Ipv4Addr) -> bool {
    view.peer().is_some_and(|it| it.ip() == host)
}

/// A host where no test listens.
pub(super) const fn peer(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 251, 0, number)
}
