//! Invitations: who takes itself for a worker, and who does not.

mod support;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cluster_core::{ExitStatus, WorkerId};
use cluster_ipc::Encoding;
use cluster_sys::channel::Channel;
use cluster_sys::invitation::{Invitation, VARIABLE};
use cluster_sys::spawn::{CHANNEL_FD, Program};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use crate::support::{ALONE, alone, alone_with, ended, next_text, only, outcome};

#[test]
fn a_worker_is_invited_and_its_own_child_is_not() {
    const TEST: &str = "a_worker_is_invited_and_its_own_child_is_not";
    match std::env::var(ALONE).as_deref() {
        Ok("worker") => return worker(TEST),
        Ok("grandchild") => return grandchild(),
        _ => {}
    }
    let mut program = Program::current();
    program.args = only(TEST).map(Into::into).to_vec();
    program.env.push((ALONE.into(), Some("worker".into())));
    program.stdio = [cluster_sys::spawn::Stdio::Null; 3];
    let (channel, theirs) = Channel::pair().unwrap();
    let id = WorkerId::new(7).unwrap();
    let text = Invitation::text(id, theirs.as_fd(), CHANNEL_FD, Encoding::Json).unwrap();
    let mut spawning = program.spawn(theirs, &[(VARIABLE, text)]).unwrap();
    outcome(&mut spawning).unwrap();
    // The end comes when neither the worker nor a child of it has the channel.
    assert_eq!(next_text(&channel), "worker 7 Json");
    assert_eq!(next_text(&channel), "");
    assert_eq!(ended(spawning.process()), ExitStatus::Code(0));
}

fn worker(test: &str) {
    let invitation = Invitation::from_environment().unwrap().expect("an invitation");
    assert_eq!(Invitation::from_environment().unwrap().as_ref(), Some(&invitation));
    let (id, encoding) = (invitation.worker(), invitation.encoding());
    let channel = invitation.clone().adopt().unwrap();
    assert_eq!(channel.as_fd().as_raw_fd().cast_unsigned(), CHANNEL_FD);
    let of_descriptor = FdFlag::from_bits_retain(fcntl(&channel, FcntlArg::F_GETFD).unwrap());
    assert!(of_descriptor.contains(FdFlag::FD_CLOEXEC));
    let of_file = OFlag::from_bits_retain(fcntl(&channel, FcntlArg::F_GETFL).unwrap());
    assert!(of_file.contains(OFlag::O_NONBLOCK));
    assert_eq!(invitation.adopt().unwrap_err().kind(), ErrorKind::AlreadyExists);
    let status = Command::new("/proc/self/exe")
        .args(only(test))
        .env(ALONE, "grandchild")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    channel.send(format!("worker {id} {encoding:?}").as_bytes(), &[]).unwrap();
}

/// It has its parent's environment, but not its channel.
fn grandchild() {
    assert!(std::env::var_os(VARIABLE).is_some());
    assert_eq!(Invitation::from_environment(), Ok(None));
}

#[test]
fn without_the_variable_it_is_no_worker() {
    alone("without_the_variable_it_is_no_worker", || {
        assert_eq!(Invitation::from_environment(), Ok(None));
    });
}

#[test]
fn a_closed_descriptor_or_another_file_is_no_invitation() {
    // The first names a descriptor that is not open, the second one that is no socket.
    for value in ["1:900:8:99:json", "1:0:8:99:postcard"] {
        let test = "a_closed_descriptor_or_another_file_is_no_invitation";
        alone_with(test, Path::new("/proc/self/exe"), &[(VARIABLE, value)], || {
            assert_eq!(Invitation::from_environment(), Ok(None));
        });
    }
}

#[test]
fn another_socket_at_the_same_number_is_no_invitation() {
    const TEST: &str = "another_socket_at_the_same_number_is_no_invitation";
    if support::is_alone(TEST) {
        return assert_eq!(Invitation::from_environment(), Ok(None));
    }
    let mut program = Program::current();
    program.args = only(TEST).map(Into::into).to_vec();
    program.env.push((ALONE.into(), Some(TEST.into())));
    program.stdio = [cluster_sys::spawn::Stdio::Null; 3];
    let (_channel, theirs) = Channel::pair().unwrap();
    let (_other, another) = Channel::pair().unwrap();
    let id = WorkerId::new(1).unwrap();
    let text = Invitation::text(id, another.as_fd(), CHANNEL_FD, Encoding::Json).unwrap();
    let mut spawning = program.spawn(theirs, &[(VARIABLE, text)]).unwrap();
    outcome(&mut spawning).unwrap();
    assert_eq!(ended(spawning.process()), ExitStatus::Code(0));
}

#[test]
fn a_malformed_variable_is_an_error_with_its_text() {
    let test = "a_malformed_variable_is_an_error_with_its_text";
    alone_with(test, Path::new("/proc/self/exe"), &[(VARIABLE, "nonsense")], || {
        let error = Invitation::from_environment().unwrap_err();
        assert_eq!(error.0, "nonsense");
        assert_eq!(error.to_string(), r#"CLUSTER_WORKER is no invitation of a worker: "nonsense""#);
    });
}

#[test]
fn a_variable_that_is_no_text_is_an_error() {
    const TEST: &str = "a_variable_that_is_no_text_is_an_error";
    if support::is_alone(TEST) {
        assert_eq!(Invitation::from_environment().unwrap_err().0, "1:3:8:\u{fffd}");
        return;
    }
    let status = Command::new("/proc/self/exe")
        .args(only(TEST))
        .env(ALONE, TEST)
        .env(VARIABLE, OsStr::from_bytes(b"1:3:8:\xff"))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
