//! The fixture on `tokio_current`.

#[path = "../fixture/mod.rs"]
mod fixture;

use cluster_tests::provider::tokio_current as provider;

fn main() -> std::process::ExitCode {
    fixture::main()
}
