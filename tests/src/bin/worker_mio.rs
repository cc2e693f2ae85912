//! The fixture in an event loop of its own.

#[path = "../mio_fixture/mod.rs"]
mod fixture;

fn main() -> std::process::ExitCode {
    fixture::main()
}
