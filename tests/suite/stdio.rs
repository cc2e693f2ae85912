//! Arguments and standard streams of workers.

use cluster_tests::script::Step;

use super::support::{Scene, text};
use crate::provider::cluster::{Event, InForce, Program, Settings, Stdio};
use crate::provider::{AsyncRead, AsyncReadExt, AsyncWriteExt, FIXTURE};

pub(crate) async fn setup_primary(scene: Scene) {
    let mut stage = scene.stage();
    let changes = Settings::new().args(["first", "second"]).silent(true);
    stage.cluster.setup_primary(changes).expect("the cluster is there");
    let Event::Setup { settings } = stage.next().await else { panic!("nothing else happened") };
    let mut expected = InForce::new();
    expected.program.exec = FIXTURE.into();
    expected.program.argv0 = FIXTURE.into();
    expected.program.args = vec!["first".into(), "second".into()];
    expected.program.stdio = [Stdio::Piped; 3];
    assert_eq!(*settings, expected, "what was not set has its default");
    let Program { cwd, env, uid, gid, .. } = &expected.program;
    assert_eq!((cwd, &**env, uid, gid), (&None, [].as_slice(), &None, &None));
    assert_eq!(stage.cluster.settings().await, Ok(settings));
    for _ in 0..2 {
        let worker = stage.worker().await;
        assert_eq!(stage.ask(&worker, Step::Arguments).await, text("first second"));
        stage.has(&worker, Step::Print("hello".to_owned(), "beware".to_owned())).await;
        let mut out = worker.take_stdout().expect("the runtime takes it").expect("a pipe");
        let mut error = worker.take_stderr().expect("the runtime takes it").expect("a pipe");
        assert_eq!((&*line(&mut out).await, &*line(&mut error).await), ("hello", "beware"));
        worker.disconnect();
        stage.hears_leave(&worker).await;
    }
    stage.nothing_else().await;
}

pub(crate) async fn child_process_silent(scene: Scene) {
    let mut stage = scene.stage_with(Settings::new().silent(true));
    let worker = stage.worker().await;
    let mut input = worker.take_stdin().expect("the runtime takes it").expect("a pipe");
    let mut out = worker.take_stdout().expect("the runtime takes it").expect("a pipe");
    let mut error = worker.take_stderr().expect("the runtime takes it").expect("a pipe");
    assert!(worker.take_stdout().is_ok_and(|it| it.is_none()), "it can be taken once");
    for round in 0..3 {
        let (one, other) = (format!("out {round}"), format!("error {round}"));
        stage.has(&worker, Step::Print(one.clone(), other.clone())).await;
        assert_eq!((line(&mut out).await, line(&mut error).await), (one, other));
        assert_eq!(stage.ask(&worker, Step::Say("beside".to_owned())).await, text("beside"));
    }
    input.write_all(b"some input").await.expect("the worker is there");
    input.flush().await.expect("the worker is there");
    drop(input);
    assert_eq!(stage.ask(&worker, Step::ReadInput).await, text("some input"));
    stage.disconnect([&worker]).await;
    for mut pipe in [out, error] {
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).await.expect("text");
        assert_eq!(rest, "");
    }
    stage.nothing_else().await;
}

/// The next line of a pipe.
async fn line(pipe: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        pipe.read_exact(&mut byte).await.expect("the line goes on");
        line.extend(byte);
    }
    line.pop();
    String::from_utf8(line).expect("text")
}
