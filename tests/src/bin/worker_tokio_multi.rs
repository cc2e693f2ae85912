//! The fixture on `tokio_multi`.

#[path = "../fixture/mod.rs"]
mod fixture;

use cluster_tests::provider::tokio_multi as provider;

fn main() -> std::process::ExitCode {
    fixture::main()
}
