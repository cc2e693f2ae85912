//! From the fork to the exit: events, states, and what is known of a worker.

use std::pin::pin;

use cluster_tests::script::{AtEnd, Early, Report, Script, Step};
use nix::sys::signal;
use nix::unistd::Pid;

use super::support::{Client, Scene, at_once, text};
use crate::provider::cluster::{ExitStatus, NotListening, Signal, WorkerState};

pub(crate) async fn basic(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.fork().await;
    assert_eq!(worker.id().number(), 1);
    assert_eq!(worker.exited_after_disconnect(), None);
    stage.hears(["fork 1 PID", "online 1"]).await;
    assert_eq!(worker.state(), WorkerState::Online);
    let address = stage.listen(&worker, 0, &scene.anywhere()).await;
    assert_ne!(address.port(), 0);
    assert_eq!(worker.state(), WorkerState::Listening);
    assert_eq!(stage.ask(&worker, Step::RoleOfChild).await, text("primary"));
    worker.disconnect();
    stage.hears_leave(&worker).await;
    assert_eq!(worker.state(), WorkerState::Dead);
    assert_eq!(worker.exited().await, Ok(ExitStatus::Code(0)));
    stage.nothing_else().await;
}

pub(crate) async fn role_is_the_same_when_asked_again(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let role = text("same=true is_worker=true is_primary=false");
    assert_eq!(stage.ask(&worker, Step::Role).await, role);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn descriptors_at_start(scene: Scene) {
    let mut stage = scene.stage();
    let script = Script { early: vec![Early::Descriptors], steps: vec![] };
    let worker = stage.fork_with(&script).await;
    let Report::Descriptors(found) = stage.report(&worker).await else { panic!("descriptors") };
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(found[&3].starts_with("socket:"), "{found:?}");
    stage.hears(["fork 1 PID", "online 1"]).await;
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_init(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.fork().await;
    stage.tell(&worker, Step::Say("early".to_owned())).await;
    stage.hears(["fork 1 PID", "online 1", "report 1 Text(\"early\")"]).await;
    worker.disconnect();
    stage.hears_leave(&worker).await;
    stage.nothing_else().await;
}

pub(crate) async fn worker_events(scene: Scene) {
    let mut stage = scene.stage();
    let [first, second] = &stage.workers(2).await[..] else { unreachable!() };
    let mut news = first.events();
    for worker in [first, second] {
        stage.tell(worker, Step::Say("hello".to_owned())).await;
        assert_eq!(stage.report(worker).await, text("hello"));
    }
    stage.disconnect([first, second]).await;
    let mut own = Vec::new();
    while let Some(event) = news.next().await {
        assert_eq!(event.worker(), Some(first.id()));
        own.push(event.to_string());
    }
    let name = |line: &String| line.split(' ').next().map(str::to_owned);
    let mut names: Vec<_> = own.iter().filter_map(name).collect();
    assert_eq!(names.drain(..2).collect::<Vec<_>>(), ["message", "draining"]);
    names.sort();
    assert_eq!(names, ["disconnect", "exit"]);
    stage.nothing_else().await;
}

pub(crate) async fn worker_isconnected(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.fork().await;
    assert!(worker.is_connected());
    stage.hears(["fork 1 PID", "online 1"]).await;
    stage.has(&worker, Step::AtEnd(AtEnd::Tell)).await;
    stage.tell(&worker, Step::Disconnect).await;
    stage.hears(["draining 1"]).await;
    stage.hears_end(&worker, "code=20 signal=-", true).await;
    assert!(!worker.is_connected());
    stage.nothing_else().await;
}

pub(crate) async fn worker_isdead(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    assert!(!worker.is_dead());
    worker.disconnect();
    stage.hears_leave(&worker).await;
    assert!(worker.is_dead());
    stage.nothing_else().await;
}

pub(crate) async fn worker_exit(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let pid = worker.pid().expect("it runs");
    stage.tell(&worker, Step::Exit(42)).await;
    stage.hears_end(&worker, "code=42 signal=-", false).await;
    assert_eq!(worker.exited_after_disconnect(), Some(false));
    let pid = Pid::from_raw(i32::try_from(pid.0).expect("the system's numbers are small"));
    assert_eq!(signal::kill(pid, None), Err(nix::errno::Errno::ESRCH), "the process is gone");
    stage.nothing_else().await;
}

pub(crate) async fn worker_death(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.tell(&worker, Step::Panic).await;
    stage.hears_end(&worker, "code=101 signal=-", false).await;
    assert_eq!(worker.exited().await, Ok(ExitStatus::Code(101)));
    stage.nothing_else().await;
}

pub(crate) async fn child_process_exit_code(scene: Scene) {
    let mut stage = scene.stage();
    for code in [0, 1, 255] {
        let worker = stage.worker().await;
        stage.tell(&worker, Step::Exit(code)).await;
        stage.hears_end(&worker, &format!("code={code} signal=-"), false).await;
    }
    for name in ["SIGHUP", "SIGUSR1", "SIGKILL"] {
        let worker = stage.worker().await;
        worker.kill(name.parse::<Signal>().expect("a signal"));
        stage.hears_end(&worker, &format!("code=- signal={name}"), false).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn child_process_fork_close(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    stage.tell(&worker, Step::SayAndExit("last words".to_owned())).await;
    stage.hears(["report 1 Text(\"last words\")"]).await;
    stage.hears_end(&worker, "code=0 signal=-", false).await;
    stage.nothing_else().await;
}

pub(crate) async fn message(scene: Scene) {
    let mut stage = scene.stage();
    let (worker, address) = stage.server(&scene.anywhere()).await;
    let client = Client::connect(address).await;
    assert_eq!(client.served_by().await, 1);
    for round in 0..10 {
        client.echo().await;
        let said = format!("round {round}");
        assert_eq!(stage.ask(&worker, Step::Say(said.clone())).await, text(&said));
    }
    drop(client);
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn listening_is_awaited(scene: Scene) {
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let mut listening = pin!(worker.listening());
    assert_eq!(at_once(listening.as_mut()).await, None);
    stage.nothing_yet().await;
    assert_eq!(at_once(listening.as_mut()).await, None);
    stage.listen(&worker, 0, &scene.anywhere()).await;
    assert_eq!(listening.await, Ok(()));
    assert_eq!(worker.listening().await, Ok(()), "it does already");
    stage.has(&worker, Step::Close(0)).await;
    assert_eq!(worker.listening().await, Ok(()), "the first time counts");
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

pub(crate) async fn listening_is_awaited_in_vain(scene: Scene) {
    let mut stage = scene.stage();
    let leaving = stage.worker().await;
    stage.has(&leaving, Step::Stay).await;
    let mut listening = pin!(leaving.listening());
    assert_eq!(at_once(listening.as_mut()).await, None);
    leaving.disconnect();
    assert_eq!(listening.await, Err(NotListening));
    assert_eq!(leaving.listening().await, Err(NotListening), "it will not");
    stage.hears(["draining 1"]).await;
    leaving.kill(Signal::KILL);
    stage.hears_end(&leaving, "code=- signal=SIGKILL", true).await;
    assert_eq!(leaving.listening().await, Err(NotListening));
    for end in [Step::Exit(3), Step::Disconnect, Step::CloseChannel] {
        let worker = stage.worker().await;
        let mut listening = pin!(worker.listening());
        assert_eq!(at_once(listening.as_mut()).await, None);
        stage.tell(&worker, end).await;
        assert_eq!(listening.await, Err(NotListening));
        stage.hears_until_ended(&worker).await;
    }
    stage.nothing_else().await;
}
