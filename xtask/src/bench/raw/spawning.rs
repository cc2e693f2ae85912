//! What the example `spawning` does, without a cluster.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

/// Prints the same lines as the example.
pub(super) fn run(count: u32) -> Result<()> {
    for _ in 0..count {
        let (mut ours, theirs) = UnixStream::pair()?;
        let started = Instant::now();
        let mut child = Command::new(env::current_exe()?)
            .args(["bench-raw", "newborn"])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        for what in ["online", "listening"] {
            ours.read_exact(&mut [0])?;
            println!("{what}: {:.3}", started.elapsed().as_secs_f64() * 1e3);
        }
        drop(ours);
        child.wait()?;
    }
    Ok(())
}

/// Says that it is there, and that it listens, and waits for the end of the other side.
pub(super) fn be_born() -> Result<()> {
    let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.write_all(&[0])?;
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    channel.write_all(&[0])?;
    channel.read_to_end(&mut Vec::new())?;
    Ok(())
}
