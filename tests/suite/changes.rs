//! Schedules that come into force while workers serve.

use std::num::NonZeroU32;

use cluster_tests::script::Step;

use super::choosing::{connected, peer, sticky};
use super::support::{Client, Scene, Stage, text};
use crate::provider::cluster::{ConfigError, Schedule, ScheduleError, Worker};

pub(crate) async fn a_peer_sticks_from_then_on(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (second, _) = stage.server(&address.to_string()).await;
    let mut served = Vec::new();
    let bound = NonZeroU32::new(99).expect("not 0");
    for schedule in [Schedule::RoundRobin, sticky(None), Schedule::None] {
        stage.cluster.set_schedule(schedule).await.expect("it makes sense");
        let refused = stage.cluster.set_schedule(sticky(Some(bound))).await;
        let why = ScheduleError::Config(ConfigError::StickyBound(bound));
        assert_eq!(refused, Err(why), "and nothing has changed");
        let mut by = Vec::new();
        for _ in 0..4 {
            by.push(Client::connect_from(peer(1), address).await.served_by().await);
        }
        served.push(by);
    }
    assert_eq!(served[0], [1, 2, 1, 2]);
    assert_eq!(served[1], [served[1][0]; 4], "it stays with one");
    let (own, other) = if served[1][0] == 1 { (1, 2) } else { (2, 1) };
    assert_eq!(served[2], [other; 4], "handed over as before, and turns are made up for");
    assert_ne!(own, other);
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn connections_from_before_count(scene: Scene) {
    let mut stage = scene.stage();
    let (first, address) = stage.server(&scene.anywhere()).await;
    let (ended, by) = connected(address, 2).await;
    drop(ended);
    let (ending, again) = connected(address, 3).await;
    assert_eq!([by, again].concat(), [1; 5]);
    let (second, _) = stage.server(&address.to_string()).await;
    for schedule in [Schedule::LeastLoaded, Schedule::RoundRobin, Schedule::LeastLoaded] {
        stage.cluster.set_schedule(schedule).await.expect("it makes sense");
    }
    for worker in [&first, &second] {
        has_heard(&mut stage, worker).await;
    }
    // What has ended is told when the worker has noticed.
    while open(&first).await > 3 {}
    let (staying, by) = connected(address, 3).await;
    assert_eq!(by, [2, 2, 2]);
    assert_eq!([open(&first).await, open(&second).await], [3, 3]);
    drop(ending);
    while open(&first).await > 0 {}
    let (more, by) = connected(address, 3).await;
    assert_eq!(by, [1, 1, 1]);
    drop((staying, more));
    while open(&first).await + open(&second).await > 0 {}
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

pub(crate) async fn an_address_is_shared_as_it_was_first_listened_on(scene: Scene) {
    let mut stage = scene.stage();
    let (first, before) = stage.server(&scene.anywhere()).await;
    stage.cluster.set_schedule(Schedule::Sharded).await.expect("it makes sense");
    let (second, _) = stage.server(&before.to_string()).await;
    let after = stage.listen(&first, 1, &scene.anywhere()).await;
    assert_eq!(stage.listen(&second, 1, &after.to_string()).await, after);
    for worker in [&first, &second] {
        stage.has(worker, Step::Serve(1)).await;
    }
    for schedule in [Schedule::Sharded, Schedule::RoundRobin] {
        stage.cluster.set_schedule(schedule).await.expect("it makes sense");
        stage.is_served(before, &[1, 2, 1, 2]).await;
        // Whoever is stopped holds a shard up, until the primary accepts in its place.
        stage.stop(&first).await;
        for client in Client::crowd(after).await {
            assert_eq!(client.served_by().await, 2);
        }
        first.kill(crate::provider::cluster::Signal::CONT);
        Client::all_serve(after, &[1, 2]).await;
    }
    stage.disconnect([&first, &second]).await;
    stage.nothing_else().await;
}

/// Waits until a worker has heard what was said to it, and the primary its answer.
async fn has_heard(stage: &mut Stage, worker: &Worker) {
    assert_eq!(stage.ask(worker, Step::Say("heard".to_owned())).await, text("heard"));
}

/// How many connections a worker has accepted and not finished.
async fn open(worker: &Worker) -> usize {
    worker.load().await.expect("it is there").open
}
