//! What workers are started with.

use std::io::ErrorKind;

use cluster_tests::script::{Report, Step, Task};

use super::support::{Folder, Outside, Scene, text};
use crate::provider::FIXTURE;
use crate::provider::cluster::{ClusterError, Event, ForkError, InForce, Settings};

pub(crate) async fn fork_env(scene: Scene) {
    let all = Settings::new().env("CLUSTER_TESTS_A", "all").env("CLUSTER_TESTS_B", "all");
    let mut stage = scene.stage_with(all.env_remove("CARGO_PKG_NAME"));
    let one = Settings::new().env("CLUSTER_TESTS_B", "one").env("CLUSTER_TESTS_C", "one");
    let forked = stage.fork_by(one.env("CLUSTER_WORKER", "none")).await;
    let worker = forked.expect("it can be started");
    // What makes it a worker is not to be overridden.
    stage.hears(["fork 1 PID", "online 1"]).await;
    let path = std::env::var("PATH").ok();
    let expected = [
        ("CLUSTER_TESTS_A", Some("all")),
        ("CLUSTER_TESTS_B", Some("one")),
        ("CLUSTER_TESTS_C", Some("one")),
        ("CARGO_PKG_NAME", None),
        ("PATH", path.as_deref()),
    ];
    for (name, value) in expected {
        let found = stage.ask(&worker, Step::Environment(name.to_owned())).await;
        assert_eq!(found, Report::Variable(value.map(str::to_owned)), "{name}");
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn options_per_fork(scene: Scene) {
    let folder = Folder::new();
    let here = std::env::current_dir().expect("there is one");
    let mut stage = scene.stage_with(Settings::new().env("CLUSTER_TESTS_A", "all"));
    let sticky = stage.cluster.settings().await.expect("the cluster is there");
    let own = Settings::new().env("CLUSTER_TESTS_A", "one").cwd(folder.path());
    let with = stage.fork_by(own).await.expect("it can be started");
    stage.hears(["fork 1 PID", "online 1"]).await;
    let without = stage.worker().await;
    for (worker, value, cwd) in [(&with, "one", folder.path()), (&without, "all", &here)] {
        let found = stage.ask(worker, Step::Environment("CLUSTER_TESTS_A".to_owned())).await;
        assert_eq!(found, Report::Variable(Some(value.to_owned())));
        let cwd = cwd.canonicalize().expect("it is there");
        assert_eq!(stage.ask(worker, Step::Directory).await, text(&cwd.to_string_lossy()));
    }
    // A program of its own, too.
    let own = Settings::new().exec("/bin/sh").args(["-c", "exit 3"]);
    let other = stage.fork_by(own).await.expect("it can be started");
    stage.hears(["fork 3 PID"]).await;
    stage.hears_end(&other, "code=3 signal=-", false).await;
    assert_eq!(stage.cluster.settings().await, Ok(sticky), "they stay as they are");
    stage.disconnect([&with, &without]).await;
    stage.nothing_else().await;
}

pub(crate) async fn cwd(scene: Scene) {
    let folder = Folder::new();
    let mut stage = scene.stage();
    let earlier = stage.worker().await;
    let settings = Settings::new().cwd(folder.path());
    stage.cluster.setup_primary(settings).expect("the cluster is there");
    assert!(matches!(stage.next().await, Event::Setup { .. }));
    let later = stage.worker().await;
    let here = std::env::current_dir().expect("there is one");
    for (worker, cwd) in [(&earlier, here.as_path()), (&later, folder.path())] {
        let cwd = cwd.canonicalize().expect("it is there");
        assert_eq!(stage.ask(worker, Step::Directory).await, text(&cwd.to_string_lossy()));
    }
    stage.disconnect([&earlier, &later]).await;
    stage.nothing_else().await;
}

pub(crate) async fn setup_primary_emit(scene: Scene) {
    let mut stage = scene.stage();
    let changes = [
        Settings::new().args(["first"]),
        Settings::new().cwd("/"),
        Settings::new(),
        Settings::new().args(["second"]),
    ];
    let first = stage.cluster.settings().await.expect("the cluster is there");
    let mut expected = vec![InForce::clone(&first)];
    for change in changes {
        expected.push(expected[expected.len() - 1].with(&change));
        stage.cluster.setup_primary(change).expect("the cluster is there");
    }
    for expected in &expected[1..] {
        let Event::Setup { settings } = stage.next().await else { panic!("no other event") };
        assert_eq!(*settings, *expected, "as they were then");
    }
    stage.nothing_yet().await;
    // A fork changes nothing.
    let worker = stage.worker().await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn setup_primary_multiple(scene: Scene) {
    let mut stage = scene.stage();
    for code in 1..=3 {
        let exit = Settings::new().exec("/bin/sh").args(["-c", &format!("exit {code}")]);
        stage.cluster.setup_primary(exit).expect("the cluster is there");
        stage.hears(["setup /bin/sh"]).await;
        let worker = stage.fork().await;
        stage.hears([format!("fork {} PID", worker.id())]).await;
        stage.hears_end(&worker, &format!("code={code} signal=-"), false).await;
        let fixture = Settings::new().exec(FIXTURE);
        stage.cluster.setup_primary(fixture).expect("the cluster is there");
        stage.hears([format!("setup {FIXTURE}")]).await;
        let worker = stage.worker().await;
        worker.disconnect();
        stage.hears_leave(&worker).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn role_variable_without_channel(_: Scene) {
    let with = |value: &'static str| {
        Outside::start(&Task::Role, move |command| command.env("CLUSTER_WORKER", value))
    };
    // What it names is not there: the variable was inherited from a worker.
    for gone in ["1:3:0:1:postcard", "1:2000000:0:1:json", "1:0:0:1:postcard"] {
        let mut outside = with(gone);
        assert_eq!(outside.line().await, "primary", "{gone}");
        outside.go_on();
        assert!(outside.end().await.1.success());
    }
    for malformed in ["", "1", "nonsense", "0:3:0:1:postcard", "1:3:0:1:morse", "1:-3:0:1:json"] {
        let mut outside = with(malformed);
        let line = outside.line().await;
        assert!(line.starts_with("error: ") && line.contains("CLUSTER_WORKER"), "{line}");
        outside.go_on();
        assert_eq!(outside.end().await.1.code(), Some(1), "{malformed}");
    }
}

pub(crate) async fn spawn_failure_leaves_no_ghost(scene: Scene) {
    let folder = Folder::new();
    let plain = folder.file("no program");
    std::fs::write(&plain, "text").expect("there is room");
    let missing = folder.file("missing");
    let settings = [
        (Settings::new().exec(&missing), ErrorKind::NotFound),
        (Settings::new().exec(&plain), ErrorKind::PermissionDenied),
        (Settings::new().cwd(&missing), ErrorKind::NotFound),
        (Settings::new().exec("a\0b"), ErrorKind::InvalidInput),
    ];
    for (settings, kind) in settings {
        let mut stage = scene.stage_with(settings);
        for number in 1..=2 {
            let failure = stage.fork_by(Settings::new()).await.expect_err("it cannot be started");
            let ForkError::Spawn { error: told, .. } = failure else { panic!("{failure}") };
            assert_eq!(told.source.kind(), kind);
            assert_eq!(stage.cluster.workers().await.map(|it| it.len()), Ok(0));
            let Event::Error { worker, error: ClusterError::Spawn(heard) } = stage.next().await
            else {
                panic!("no other event")
            };
            assert_eq!(worker.map(|it| it.number()), Some(number), "a number is used once");
            assert_eq!(heard.source.kind(), kind);
        }
        stage.nothing_else().await;
    }
}
