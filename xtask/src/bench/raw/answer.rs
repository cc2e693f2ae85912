//! One request and its answer.

use std::os::fd::RawFd;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, accept4, recv, send};
use nix::unistd::close;

/// The response that says `name`, with the heads that frameworks send.
pub(super) fn response(name: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{name}",
        name.len()
    )
    .into_bytes()
}

/// Accepts and answers one connection after another.
pub(super) fn accept_and_answer(listener: RawFd, response: &[u8]) -> Result<()> {
    loop {
        match accept4(listener, SockFlag::SOCK_CLOEXEC) {
            Ok(connection) => answer(connection, response)?,
            Err(Errno::ECONNABORTED | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one request from `connection`, answers it, and closes the connection.
pub(super) fn answer(connection: RawFd, response: &[u8]) -> Result<()> {
    let mut request = [0; 1024];
    // A client may have gone away; that is its own affair.
    if recv(connection, &mut request, MsgFlags::empty()).is_ok_and(|count| count > 0) {
        send(connection, response, MsgFlags::MSG_NOSIGNAL).ok();
    }
    close(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_name() {
        let text = String::from_utf8(response("worker 1 pid 7\n")).expect("it is text");
        assert!(text.contains("\r\ncontent-length: 15\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nworker 1 pid 7\n"), "{text}");
    }
}
