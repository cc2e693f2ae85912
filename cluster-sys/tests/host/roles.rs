//! What the workers of these tests do. A worker is this test program again, with one test.

use std::env;

use cluster_sys::Settings;
use cluster_sys::spawn::Stdio;

use crate::site::Site;
use crate::support::{ALONE, only};
use crate::{ends, handing, hostile, messages, receiving, shortage};

/// This program as a worker. What it does is told by the variable [`ROLE`], which a driver's
/// `fork` sets.
pub(crate) fn program() -> Settings {
    let settings = Settings::new().args(only("roles::worker")).env_remove(ALONE);
    settings.stdin(Stdio::Null).stdout(Stdio::Null)
}

/// Not a test, but the place where a worker begins.
#[test]
fn worker() {
    let Ok(role) = env::var(ROLE) else { return };
    let (role, detail) = role.split_once(':').unwrap_or((&role, ""));
    match role {
        "serve" => serve(),
        "idle" => Site::new().serve_on(),
        "hostile" => hostile::worker(detail),
        "returns" => shortage::returns_many(),
        "poor" => receiving::poor(),
        "hold many" => receiving::hold_many(),
        "squeezed" => receiving::squeezed(detail),
        "listen when told" => shortage::listen_when_told(),
        "hoard" => handing::hoard(),
        "on demand" => handing::on_demand(),
        "refuse" => handing::give_everything_back(),
        "give back" => handing::give_back_when_leaving(),
        "end early" => handing::end_early(),
        "echo" => messages::echo(),
        "together" => messages::together(),
        "flood" => messages::flood(),
        "small and large" => messages::small_and_large(),
        "many" => messages::many(),
        "handles" => messages::handles(),
        "guard" => messages::guard_elsewhere(),
        "disconnected" => ends::disconnects_and_stays(),
        "orphan" => ends::orphan(),
        _ => panic!("no such role: {role}"),
    }
}

/// Shares a port, says so, and serves what comes until it is to leave.
fn serve() {
    let mut site = Site::new();
    site.listen();
    site.serve_on();
}

/// Tells a worker what to do.
pub(crate) const ROLE: &str = "CLUSTER_TEST_ROLE";

/// Tells a worker where to report.
pub(crate) const REPORT: &str = "CLUSTER_TEST_REPORT";
