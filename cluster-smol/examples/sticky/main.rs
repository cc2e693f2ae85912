//! Sticky sessions: all connections of one client address go to the same worker.
//!
//! `Schedule::Sticky` does that in one line, in the primary's own accepting. This is how it is done
//! by hand, where choosing needs more than a schedule sees: here, a worker that takes another's
//! place takes its clients.
//!
//! ```text
//! cargo run -p cluster-smol --example sticky -- [ADDRESS]
//! curl http://127.0.0.1:8000/                              (again and again: visit 1, 2, 3)
//! curl --interface 127.0.0.2 http://127.0.0.1:8000/        (another client)
//! kill -KILL <a worker>, or kill -TERM <a worker>          (that one's clients move)
//! ```
//!
//! The primary accepts, chooses, and hands the connection over as a handle in a message. There
//! is a fixed number of seats, and a worker that takes the place of another one takes its seat.
//! Each seat has a score for a client, a hash of both, and the seat with the highest score
//! that is taken gets the client (rendezvous hashing). So while one seat is empty, only its
//! clients go elsewhere, each to its own second choice, and they come back when it is taken
//! again; nobody else's worker changes.
//!
//! Why it is done so: that a handle is sent does not mean that a worker has it. The primary
//! keeps its copy until the worker says `Taken`, which a worker does before it reads. If the
//! worker's channel ends before, or it returns the connection because it leaves, not a byte of
//! it was read, and the next choice gets it; the client notices nothing.

mod dispatch;
mod primary;
#[path = "../serving/server.rs"]
mod server;
mod worker;

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use cluster_smol::Role;
use serde::{Deserialize, Serialize};

fn main() -> Result<(), Failure> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    smol::block_on(smol::spawn(async move {
        match cluster_smol::role()? {
            Role::Primary(builder) => primary::supervise(builder, &address).await,
            Role::Worker(worker) => worker::serve(worker).await,
        }
    }))
}

/// Comes to a worker with a connection.
#[derive(Debug, Serialize, Deserialize)]
struct HandOff {
    number: u64,
    client: SocketAddr,
}

/// What a worker says to it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Answer {
    /// It is mine from now on.
    Taken { number: u64 },
    /// I leave, and have not read of it.
    Returned { number: u64 },
}

/// What any part of this program may fail with.
type Failure = Box<dyn Error + Send + Sync>;
