//! Unix sockets and their files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cluster_tests::script::{End, Options, Report, Step};

use super::support::{Client, Folder, Gate, Scene};

pub(crate) async fn net_listen_relative_path(scene: Scene) {
    let folder = Folder::new();
    let long = folder.file(&"long".repeat(50));
    fs::create_dir(&long).expect("there is room");
    // Clients have another way.
    let short = folder.file("short");
    symlink(&long, &short).expect("there is room");
    let path = short.join("socket");
    let gates = [Gate::new(), Gate::new()];
    let listen = Step::Listen(0, "unix:socket".to_owned());
    let steps = |gate: &Gate| {
        vec![listen.clone(), Step::Serve(0), Step::Wait(gate.address()), Step::Disconnect]
    };
    let workers = gates.iter().map(steps).collect();
    let mut primary = scene.primary(workers, End::Disconnect, |it| it.current_dir(&long));
    let [one, other] =
        [1, 2].map(|id| format!("listening {id} unix:{}", long.join("socket").display()));
    let reports = [1, 2].map(|id| format!("report {id} Done"));
    primary.lines_until(&[&one, &other, &reports[0], &reports[1]]).await;
    let [first, second] = [gates[0].arrived().await, gates[1].arrived().await];
    for _ in 0..4 {
        let client = Client::connect_unix(path.clone()).await;
        assert!((1..=2).contains(&client.served_by().await));
        client.echo().await;
    }
    first.open();
    primary.lines_until(&["exit 1 code=0 signal=- exited_after_disconnect=true"]).await;
    assert_eq!(Client::connect_unix(path.clone()).await.served_by().await, 2);
    second.open();
    primary.lines_until(&["exit 2 code=0 signal=- exited_after_disconnect=true"]).await;
    assert!(!long.join("socket").exists(), "the file is removed with the last worker");
    primary.go_on();
    let (rest, status) = primary.end().await;
    assert!(status.success(), "{rest:?}");
}

pub(crate) async fn unix_mode_bits_under_none(scene: Scene) {
    let folder = Folder::new();
    let mut stage = scene.stage();
    let worker = stage.worker().await;
    let mut usual = None;
    for (readable_all, writable_all, bits) in
        [(false, false, 0), (true, false, 0o444), (false, true, 0o222), (true, true, 0o666)]
    {
        let path = folder.file(&format!("{bits:o}"));
        let name = format!("unix:{}", path.display());
        let options = Options { readable_all, writable_all, ..Options::default() };
        let report = stage.ask(&worker, Step::ListenWith(0, name.clone(), options)).await;
        assert_eq!(report, Report::Listening(name.clone()));
        stage.hears([format!("listening 1 {name}")]).await;
        let usual = *usual.get_or_insert_with(|| mode(&path));
        if usual & 0o022 != 0 {
            eprintln!("this machine's umask lets everybody write");
        }
        assert_eq!(mode(&path), usual | bits, "{usual:o} and {bits:o}");
        stage.has(&worker, Step::Serve(0)).await;
        assert_eq!(Client::connect_unix(path.clone()).await.served_by().await, 1);
        stage.has(&worker, Step::Close(0)).await;
        assert!(!path.exists());
    }
    stage.disconnect([&worker]).await;
    stage.nothing_else().await;
}

/// Who may do what with a file.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}
