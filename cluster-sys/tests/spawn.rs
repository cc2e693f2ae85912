//! Spawning: what a worker starts with, and what remains when it cannot start.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cluster_core::ExitStatus;
use cluster_sys::channel::Channel;
use cluster_sys::spawn::{Program, SpawnError, SpawnStage, Stdio};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::support::arrange::{
    close, fill, leak_descriptors, move_up, put_back, refuse_close_range,
};
use crate::support::{
    ALONE, Folder, Stopped, alone, alone_with, assert_no_children, descriptors, descriptors_of,
    ended, is_alone, limit_descriptors, next_text, only, outcome, read_to_end, shell, start,
    start_error, started, status_field, target,
};

#[test]
fn a_worker_has_its_stdio_and_its_channel_and_nothing_else() {
    let (channel, theirs) = Channel::pair().unwrap();
    let socket = target(&theirs);
    let worker = Stopped::start(&shell("kill -STOP $$"), channel, theirs);
    let own = descriptors_of(std::process::id());
    let mut expected: BTreeMap<_, _> = (0..3).map(|at| (at, own[&at].clone())).collect();
    expected.insert(3, socket);
    assert_eq!(table(&worker), expected);
}

#[test]
fn descriptors_that_leak_do_not_reach_the_worker() {
    alone("descriptors_that_leak_do_not_reach_the_worker", || {
        let leaks = leak_descriptors();
        assert!(leaks.iter().any(|leak| leak.as_raw_fd() > 900));
        let worker = Stopped::with(|_| {});
        assert_eq!(table(&worker).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);
    });
}

#[test]
fn descriptors_that_leak_do_not_reach_the_worker_without_close_range_either() {
    alone("descriptors_that_leak_do_not_reach_the_worker_without_close_range_either", || {
        limit_descriptors(1024);
        let _leaks = leak_descriptors();
        refuse_close_range();
        let worker = Stopped::with(|_| {});
        assert_eq!(table(&worker).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);
    });
}

/// The channel (and whatever is opened after it) starts from each of the places that the child
/// puts something to.
#[test]
fn no_arrangement_of_low_descriptors_confuses_the_worker() {
    alone("no_arrangement_of_low_descriptors_confuses_the_worker", || {
        let saved = [0, 1, 2].map(move_up);
        for free in 0..32_u32 {
            for kind in [Stdio::Null, Stdio::Piped, Stdio::Inherit] {
                let mut fillers = vec![];
                for at in 0..5 {
                    if free & (1 << at) == 0 {
                        fillers.extend(fill(at));
                    } else if at < 3 {
                        close(at);
                    }
                }
                let found = arranged(kind);
                drop(fillers);
                for (at, saved) in (0..).zip(&saved) {
                    put_back(saved, at);
                }
                found.unwrap_or_else(|error| panic!("free {free:05b}, {kind:?}: {error}"));
            }
        }
    });

    /// Starts a worker in the present arrangement, and says what is wrong. It must not panic:
    /// there may be nowhere to print to.
    fn arranged(kind: Stdio) -> Result<(), String> {
        let own = descriptors();
        let (channel, theirs) = Channel::pair().map_err(|error| error.to_string())?;
        let socket = target(&theirs);
        let mut program = shell("kill -STOP $$");
        program.stdio = [kind; 3];
        let worker = Stopped::start(&program, channel, theirs);
        let mut expected = BTreeMap::from([(3, socket)]);
        match kind {
            Stdio::Null => expected.extend((0..3).map(|at| (at, "/dev/null".to_owned()))),
            Stdio::Piped => {
                let ours = [&worker.parts.stdin, &worker.parts.stdout, &worker.parts.stderr];
                for (at, our) in (0..).zip(ours) {
                    expected.insert(at, target(our.as_ref().ok_or("no pipe")?));
                }
            }
            Stdio::Inherit => {
                let inherited = |(at, _): &(&i32, &String)| **at < 3;
                expected
                    .extend(own.iter().filter(inherited).map(|(at, target)| (*at, target.clone())));
            }
        }
        let found = table(&worker);
        if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
    }
}

#[test]
fn workers_started_at_the_same_time_share_nothing() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let worker = Stopped::with(|program| program.stdio = [Stdio::Piped; 3]);
                    assert_eq!(table(&worker).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3]);
                }
            });
        }
    });
}

#[test]
fn pipes_carry_stdio_and_our_ends_are_non_blocking_and_close_on_exec() {
    let mut program = shell("read line; echo out $line; echo err $line >&2");
    program.stdio = [Stdio::Piped; 3];
    let (_channel, parts) = started(&program);
    let [stdin, stdout, stderr] = [parts.stdin, parts.stdout, parts.stderr].map(Option::unwrap);
    for end in [&stdin, &stdout, &stderr] {
        let of_descriptor = FdFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFD).unwrap());
        assert!(of_descriptor.contains(FdFlag::FD_CLOEXEC));
        let of_file = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL).unwrap());
        assert!(of_file.contains(OFlag::O_NONBLOCK));
    }
    fs::File::from(stdin).write_all(b"text\n").unwrap();
    assert_eq!(read_to_end(stdout), "out text\n");
    assert_eq!(read_to_end(stderr), "err text\n");
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
}

#[test]
fn null_is_empty_and_takes_everything() {
    let worker = Stopped::with(|program| program.stdio = [Stdio::Null; 3]);
    assert_eq!(stdio(&worker), ["/dev/null"; 3]);
    drop(worker);
    let mut program = shell("echo lost; echo lost >&2; read line; exit $?");
    program.stdio = [Stdio::Null; 3];
    let (_channel, parts) = started(&program);
    assert!(parts.stdin.is_none() && parts.stdout.is_none() && parts.stderr.is_none());
    assert_eq!(ended(&parts.process), ExitStatus::Code(1));
}

#[test]
fn the_channel_leads_to_the_worker_and_to_nobody_else() {
    let (channel, parts) = started(&shell("read line <&3; echo got $line >&3"));
    channel.send(b"it\n", &[]).unwrap();
    assert_eq!(next_text(&channel), "got it\n");
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    // The end, because no copy of the worker's end was left anywhere.
    assert_eq!(next_text(&channel), "");
}

#[test]
fn signals_are_at_their_default_and_not_blocked() {
    alone("signals_are_at_their_default_and_not_blocked", || {
        extern "C" fn handler(_: libc::c_int) {}
        for (number, handler) in [
            (Signal::SIGPIPE, SigHandler::SigIgn),
            (Signal::SIGHUP, SigHandler::SigIgn),
            (Signal::SIGCHLD, SigHandler::Handler(handler)),
            (Signal::SIGUSR1, SigHandler::Handler(handler)),
        ] {
            // SAFETY: the handler does nothing.
            unsafe { signal(number, handler) }.unwrap();
        }
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGRTMAX(), libc::SIG_IGN) };
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        blocked.add(Signal::SIGUSR2);
        blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
        let before = fs::read_to_string("/proc/thread-self/status").unwrap();

        let mut program = Program::new("/bin/cat");
        program.args = vec!["/proc/self/status".into()];
        program.stdio[1] = Stdio::Piped;
        let (_channel, parts) = started(&program);
        let status = read_to_end(parts.stdout.unwrap());
        for field in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
            assert_eq!(status_field(&status, field), "0000000000000000", "{field}");
        }
        assert_eq!(ended(&parts.process), ExitStatus::Code(0));

        let after = fs::read_to_string("/proc/thread-self/status").unwrap();
        for field in ["SigBlk", "SigIgn", "SigCgt"] {
            assert_eq!(status_field(&before, field), status_field(&after, field), "{field}");
            assert_ne!(status_field(&before, field), "0000000000000000", "{field}");
        }
    });
}

#[test]
fn arguments_environment_and_directory_are_as_asked_for() {
    let folder = Folder::new();
    let worker = {
        let mut program = shell("kill -STOP $$");
        program.argv0 = "a name".into();
        program.args.extend(["zero".into(), "".into(), "two words".into()]);
        program.cwd = Some(folder.path().to_owned());
        program.env = vec![
            ("ADDED".into(), Some("by the program".into())),
            ("REPLACED".into(), Some("by the program".into())),
            ("CARGO_PKG_NAME".into(), None),
        ];
        let (channel, theirs) = Channel::pair().unwrap();
        let extra = [("REPLACED", "at the end".to_owned())];
        let mut spawning = program.spawn(theirs, &extra).unwrap();
        outcome(&mut spawning).unwrap();
        Stopped::wait(channel, spawning)
    };
    let arguments = fs::read_to_string(worker.proc("cmdline")).unwrap();
    assert_eq!(arguments, "a name\0-c\0kill -STOP $$\0zero\0\0two words\0");
    assert_eq!(fs::read_link(worker.proc("cwd")).unwrap(), folder.path().canonicalize().unwrap());
    let environment = fs::read_to_string(worker.proc("environ")).unwrap();
    let mut found: Vec<_> = environment.split_terminator('\0').map(str::to_owned).collect();
    let mut expected: Vec<_> = std::env::vars()
        .filter(|(name, _)| name != "CARGO_PKG_NAME")
        .map(|(name, value)| format!("{name}={value}"))
        .chain(["ADDED=by the program".into(), "REPLACED=at the end".into()])
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_name_is_searched_in_the_path_of_the_worker() {
    let folder = Folder::new();
    for (directory, mode) in [("first", 0o644), ("second", 0o755), ("third", 0o755)] {
        fs::create_dir(folder.join(directory)).unwrap();
        let path = folder.join(directory).join("tool");
        // A file that this process writes could still be open in a child of another test, and so be
        // busy (ETXTBSY).
        let write = "printf '#!/bin/sh\\necho %s >&3\\n' \"$2\" > \"$1\"";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write, "sh"]).arg(&path).arg(directory);
        assert!(shell.status().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut program = Program::new("tool");
    let search = |path: &str| vec![("PATH".into(), Some(path.into()))];
    program.cwd = Some(folder.path().to_owned());
    // What is missing, no folder, or may not be executed is passed over.
    program.env = search("/nowhere:/dev/null:first:second:third");
    let (channel, parts) = started(&program);
    assert_eq!(next_text(&channel), "second\n");
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    // An empty entry is the working directory.
    program.env = search("");
    program.cwd = Some(folder.join("third"));
    let (channel, parts) = started(&program);
    assert_eq!(next_text(&channel), "third\n");
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    // That there was one that may not be executed is what is told.
    program.env = search("first:/nowhere");
    program.cwd = Some(folder.path().to_owned());
    assert_error(&program, SpawnStage::Exec, libc::EACCES);
    program.env = search("/nowhere");
    assert_error(&program, SpawnStage::Exec, libc::ENOENT);
}

#[test]
fn what_cannot_be_executed_says_why() {
    let folder = Folder::new();
    let file = |name: &str, content: &str, mode| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Program::new(path)
    };
    assert_error(&Program::new("/nowhere"), SpawnStage::Exec, libc::ENOENT);
    assert_error(&file("plain", "#!/bin/sh\n", 0o644), SpawnStage::Exec, libc::EACCES);
    assert_error(&file("text", "no program", 0o755), SpawnStage::Exec, libc::ENOEXEC);
    assert_error(&Program::new(folder.path()), SpawnStage::Exec, libc::EACCES);
    let mut program = shell("");
    program.args.push("x".repeat(1 << 20).into());
    assert_error(&program, SpawnStage::Exec, libc::E2BIG);
    let mut program = shell("");
    program.cwd = Some(folder.join("missing"));
    assert_error(&program, SpawnStage::Chdir, libc::ENOENT);
    let mut program = shell("");
    program.args.push("a\0b".into());
    let error = start_error(&program);
    assert_eq!(error.stage, SpawnStage::Prepare);
    assert_eq!(error.source.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_failed_start_leaves_neither_process_nor_descriptor() {
    alone("a_failed_start_leaves_neither_process_nor_descriptor", || {
        let before = descriptors();
        let mut program = Program::new("/nowhere");
        program.stdio = [Stdio::Piped; 3];
        assert_error(&program, SpawnStage::Exec, libc::ENOENT);
        assert_no_children();
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn without_descriptors_there_is_no_process() {
    alone("without_descriptors_there_is_no_process", || {
        let mut program = shell("exit 5");
        program.stdio = [Stdio::Piped, Stdio::Null, Stdio::Piped];
        // Without free low numbers, nothing is moved, and the process's own descriptor comes last.
        let _fillers: Vec<_> = (3..10).filter_map(fill).collect();
        let mut failures = vec![];
        for limit in 11..64 {
            let (_channel, theirs) = Channel::pair().unwrap();
            let before = descriptors();
            limit_descriptors(limit);
            let result = program.spawn(theirs, &[]);
            limit_descriptors(1024);
            match result {
                Err(SpawnError { stage, source }) => {
                    assert_eq!(source.raw_os_error(), Some(libc::EMFILE), "{limit}");
                    assert_no_children();
                    // The channel was ours to give, and is closed.
                    assert_eq!(descriptors().len(), before.len() - 1);
                    failures.push(stage);
                }
                Ok(mut spawning) => {
                    outcome(&mut spawning).unwrap();
                    assert_eq!(ended(spawning.process()), ExitStatus::Code(5));
                    break;
                }
            }
        }
        assert!(failures.starts_with(&[SpawnStage::Prepare; 3]), "{failures:?}");
        assert_eq!(failures.last(), Some(&SpawnStage::Fork));
    });
}

#[test]
fn a_process_too_many_is_an_error() {
    alone("a_process_too_many_is_an_error", || {
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(65534)).unwrap();
        }
        let before = descriptors();
        let (_, hard) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 0, hard).unwrap();
        assert_error(&shell("exit 0"), SpawnStage::Fork, libc::EAGAIN);
        assert_eq!(descriptors(), before);
        setrlimit(Resource::RLIMIT_NPROC, hard, hard).unwrap();
        let (_channel, parts) = started(&shell("exit 0"));
        assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    });
}

#[test]
fn an_outcome_that_was_told_stays_so() {
    let (_channel, mut spawning) = start(&shell("exit 0")).unwrap();
    outcome(&mut spawning).unwrap();
    assert!(matches!(spawning.outcome(), Some(Ok(()))));
    assert_eq!(ended(spawning.process()), ExitStatus::Code(0));
}

#[test]
fn the_image_that_runs_is_started_also_when_its_file_is_gone() {
    const TEST: &str = "the_image_that_runs_is_started_also_when_its_file_is_gone";
    if is_alone("second") {
        return;
    }
    let folder = Folder::new();
    let copy = folder.join("program");
    if !is_alone(TEST) {
        fs::copy("/proc/self/exe", &copy).unwrap();
    }
    alone_with(TEST, &copy, &[], || {
        let own = std::env::current_exe().unwrap();
        fs::remove_file(&own).unwrap();
        fs::write(&own, "something else").unwrap();
        let mut program = Program::current();
        assert_eq!(program.args, only(TEST).map(std::ffi::OsString::from));
        program.env = vec![(ALONE.into(), Some("second".into()))];
        program.stdio[1] = Stdio::Piped;
        let (_channel, parts) = started(&program);
        assert!(read_to_end(parts.stdout.unwrap()).contains("1 passed"));
        assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    });
}

#[test]
fn root_gives_everything_up() {
    alone("root_gives_everything_up", || {
        if !Uid::effective().is_root() {
            return;
        }
        setgroups(&[Gid::from_raw(1), Gid::from_raw(2)]).unwrap();
        let worker = Stopped::with(|program| {
            program.uid = Some(65534);
            program.gid = Some(65533);
        });
        assert_eq!(worker.status("Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(worker.status("Gid"), "65533\t65533\t65533\t65533");
        assert_eq!(worker.status("Groups"), "");
        let worker = Stopped::with(|_| {});
        assert_eq!(worker.status("Groups"), "1 2");
    });
}

#[test]
fn a_worker_may_be_one_that_interrupts_nobody() {
    let policy = |batch| {
        let worker = Stopped::with(|program| program.batch = batch);
        let stat = fs::read_to_string(format!("/proc/{}/stat", worker.pid())).unwrap();
        // proc_pid_stat(5): the 41st field; behind the name there is the 3rd.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(38).unwrap().parse::<i32>().unwrap()
    };
    assert_eq!([policy(false), policy(true)], [libc::SCHED_OTHER, libc::SCHED_BATCH]);
}

#[test]
fn who_is_not_root_becomes_nobody_else() {
    alone("who_is_not_root_becomes_nobody_else", || {
        if Uid::effective().is_root() {
            setgid(Gid::from_raw(65534)).unwrap();
            setuid(Uid::from_raw(65534)).unwrap();
        }
        let mut program = shell("exit 0");
        program.uid = Some(0);
        assert_error(&program, SpawnStage::Identity, libc::EPERM);
        program.uid = None;
        program.gid = Some(0);
        assert_error(&program, SpawnStage::Identity, libc::EPERM);
        // But itself it may stay.
        program.uid = Some(Uid::effective().as_raw());
        program.gid = Some(Gid::effective().as_raw());
        let (_channel, parts) = started(&program);
        assert_eq!(ended(&parts.process), ExitStatus::Code(0));
        assert_no_children();
    });
}

#[track_caller]
fn assert_error(program: &Program, stage: SpawnStage, errno: i32) {
    let error = start_error(program);
    assert_eq!((error.stage, error.source.raw_os_error()), (stage, Some(errno)), "{error:?}");
}

fn table(worker: &Stopped) -> BTreeMap<i32, String> {
    descriptors_of(worker.pid())
}

/// What a worker has at 0, 1 and 2; and it has its channel and nothing else besides.
#[track_caller]
fn stdio(worker: &Stopped) -> [String; 3] {
    let table = table(worker);
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    [0, 1, 2].map(|at| table[&at].clone())
}
