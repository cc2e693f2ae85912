//! Processes: how they end, and who learns of it.

mod support;

use cluster_core::{ExitStatus, Signal};
use cluster_sys::process::Process;
use cluster_sys::signal::{number, raise};
use cluster_sys::spawn::{Program, SpawnedParts, Stdio};
use nix::sys::signal::{SigHandler, Signal as Number, signal};
use nix::sys::wait::waitpid;

use crate::support::{
    ALONE, alone, assert_no_children, ended, is_alone, is_readable, only, shell, started,
    wait_readable,
};

#[test]
fn an_exit_code_is_told() {
    for code in [0, 1, 7, 255] {
        let (_channel, parts) = started(&shell(&format!("exit {code}")));
        assert_eq!(ended(&parts.process), ExitStatus::Code(code));
    }
}

#[test]
fn a_running_process_is_neither_readable_nor_reaped() {
    let (channel, parts) = waiting();
    assert!(!is_readable(&parts.process));
    assert_eq!(parts.process.reap().unwrap(), None);
    drop(channel);
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
}

#[test]
fn a_signal_is_told_by_its_name_or_number() {
    for signal in [Signal::TERM, Signal::KILL, Signal::Named("SIGUSR1"), Signal::Numbered(40)] {
        let (_channel, parts) = waiting();
        parts.process.kill(signal).unwrap();
        let expected = ExitStatus::Signal { signal, core_dumped: false };
        assert_eq!(ended(&parts.process), expected);
    }
}

#[test]
fn a_process_that_ended_needs_no_signal() {
    let (channel, parts) = waiting();
    drop(channel);
    wait_readable(&parts.process);
    parts.process.kill(Signal::TERM).unwrap();
    assert_eq!(parts.process.reap().unwrap(), Some(ExitStatus::Code(0)));
    parts.process.kill(Signal::KILL).unwrap();
}

#[test]
fn a_status_is_told_once_and_lost_afterwards() {
    let (_channel, parts) = started(&shell("exit 3"));
    assert_eq!(ended(&parts.process), ExitStatus::Code(3));
    assert!(is_readable(&parts.process));
    assert_eq!(parts.process.reap().unwrap(), Some(ExitStatus::Lost));
    assert_eq!(parts.process.reap().unwrap(), Some(ExitStatus::Lost));
}

#[test]
fn what_is_no_signal_is_refused() {
    let (_channel, parts) = waiting();
    let error = parts.process.kill(Signal::Numbered(0)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    finish(&parts.process);
}

#[test]
fn only_the_process_that_was_meant_is_reaped() {
    let (_channel, other) = started(&shell("exit 1"));
    wait_readable(&other.process);
    let (channel, parts) = waiting();
    assert_eq!(parts.process.reap().unwrap(), None);
    drop(channel);
    assert_eq!(ended(&parts.process), ExitStatus::Code(0));
    assert_eq!(ended(&other.process), ExitStatus::Code(1));
}

#[test]
fn a_status_that_somebody_else_took_is_lost() {
    let (_channel, parts) = started(&shell("exit 3"));
    waitpid(nix::unistd::Pid::from_raw(parts.process.pid().0.cast_signed()), None).unwrap();
    assert_eq!(ended(&parts.process), ExitStatus::Lost);
}

#[test]
fn with_sigchld_ignored_every_status_is_lost() {
    alone("with_sigchld_ignored_every_status_is_lost", || {
        // SAFETY: no handler is installed.
        unsafe { signal(Number::SIGCHLD, SigHandler::SigIgn) }.unwrap();
        let (channel, parts) = waiting();
        assert_eq!(parts.process.reap().unwrap(), None);
        drop(channel);
        assert_eq!(ended(&parts.process), ExitStatus::Lost);
        parts.process.kill(Signal::TERM).unwrap();
        assert_no_children();
    });
}

#[test]
fn a_process_can_end_itself_by_any_signal() {
    const TEST: &str = "a_process_can_end_itself_by_any_signal";
    for name in ["SIGTERM", "SIGKILL", "SIGUSR2"] {
        let signal: Signal = name.parse().unwrap();
        if is_alone(name) {
            raise(signal).unwrap();
            unreachable!("{name} has ended this process");
        }
        let mut program = Program::current();
        program.args = only(TEST).map(Into::into).to_vec();
        program.env = vec![(ALONE.into(), Some(name.into()))];
        program.stdio = [Stdio::Null; 3];
        let (_channel, parts) = started(&program);
        let expected = ExitStatus::Signal { signal, core_dumped: false };
        assert_eq!(ended(&parts.process), expected);
    }
}

#[test]
fn the_numbers_are_those_of_the_system() {
    let numbers = [Signal::TERM, Signal::KILL, Signal::INT, Signal::STOP, Signal::CONT].map(number);
    let expected = [Number::SIGTERM, Number::SIGKILL, Number::SIGINT, Number::SIGSTOP]
        .into_iter()
        .chain([Number::SIGCONT])
        .map(|number| Ok(number as i32));
    assert!(numbers.into_iter().eq(expected));
}

/// A process that ends with code 0 when its channel does.
#[track_caller]
fn waiting() -> (cluster_sys::channel::Channel, SpawnedParts) {
    started(&shell("read line <&3; exit 0"))
}

fn finish(process: &Process) {
    process.kill(Signal::KILL).unwrap();
    ended(process);
}
