//! A fixture program without a runtime: a worker whose event loop is its own, with one
//! `mio::Poll` for its sockets and for the host. It knows the steps that the scenarios for it
//! have, and no primary.

#[path = "../fixture/early.rs"]
mod early;
mod listeners;
mod sockets;
mod steps;
mod worker;

use std::process::ExitCode;

use cluster_sys::invitation::Invitation;
use cluster_tests::script::Task;

use self::early::{Early, wait_at};
use self::worker::Worker;

pub(crate) fn main() -> ExitCode {
    let Early { reports, steps, task } = Early::begin();
    if let Some(Task::Hold(gate)) = task {
        // Not as a worker: what it holds is somebody else's.
        return wait_at(gate);
    }
    match (Invitation::from_environment(), task) {
        (Ok(Some(invitation)), None) => {
            let worker = Worker::new(invitation).expect("the channel is there");
            worker.run(reports, steps).expect("the system has room for a loop")
        }
        (found, _) => {
            match &found {
                Ok(None) => println!("primary"),
                Ok(Some(invitation)) => println!("worker {}", invitation.worker()),
                Err(error) => println!("error: {error}"),
            }
            ExitCode::from(u8::from(found.is_err()))
        }
    }
}
