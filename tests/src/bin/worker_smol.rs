//! The fixture on `smol`.

#[path = "../fixture/mod.rs"]
mod fixture;

use cluster_tests::provider::smol as provider;

fn main() -> std::process::ExitCode {
    fixture::main()
}
