//! Paths of unix sockets, as addresses.

use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use cluster_core::{Address, UnixName};

/// The address of the unix socket at `path`. A relative path is made absolute, since the
/// primary that binds it may have another working directory. (Node does the same.)
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if the path is empty; an error of getcwd(3).
pub fn unix_address(path: &Path) -> io::Result<Address> {
    let absolute = std::path::absolute(path)?;
    Ok(Address::Unix(UnixName(absolute.into_os_string().into_vec())))
}

/// A unix address as the standard library knows it.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if it is no unix address, or too long for one.
pub fn unix_socket_addr(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Unix(UnixName(name)) => {
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no unix address")),
    }
}
