//! A cluster in an event loop of one's own: no async runtime, one `mio::Poll`, and the host's
//! descriptor registered beside the program's own sockets.
//!
//! ```text
//! cargo run -p cluster-sys --example mio_loop -- 127.0.0.1:8000 2
//! curl http://127.0.0.1:8000/
//! ```
//!
//! The first argument is the address, the second the number of workers. The primary prints one
//! line an event; a line on its standard input, or the end of it, ends the cluster.

mod primary;
mod worker;

use std::error::Error;
use std::net::SocketAddr;

use cluster_sys::invitation::Invitation;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:8000").parse()?;
    let workers: usize = args.next().as_deref().unwrap_or("2").parse()?;
    match Invitation::from_environment()? {
        None => primary::run(workers),
        Some(invitation) => worker::run(invitation, address),
    }
}

type Failure = Box<dyn Error>;
