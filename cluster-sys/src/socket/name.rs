//! Names of unix sockets, and the files behind them.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{self, Path, PathBuf};
use std::process;

use cluster_core::UnixName;
use socket2::SockAddr;

use super::invalid;

/// The file of a bound unix socket, known by its inode. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The process that bound it.
    owner: u32,
}

impl SocketFile {
    /// Looks at the file that bind(2) has just made; `None` if somebody removed it already.
    pub(super) fn just_made(name: &UnixName) -> Option<Self> {
        let path = Path::new(OsStr::from_bytes(&name.0));
        // Absolute, so that it is found again after a chdir. Without a working directory to start
        // from, the path as given is as good as it gets.
        let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = fs::symlink_metadata(&path).ok()?;
        let (device, inode) = (found.dev(), found.ino());
        Some(Self { path, device, inode, owner: process::id() })
    }

    /// Lets everybody connect for reading, for writing, or both: the kernel asks for both.
    pub(super) fn open_to_all(&self, readable: bool, writable: bool) -> io::Result<()> {
        let bits = if readable { 0o444 } else { 0 } | if writable { 0o222 } else { 0 };
        if bits == 0 {
            return Ok(());
        }
        let mode = fs::symlink_metadata(&self.path)?.permissions().mode();
        fs::set_permissions(&self.path, Permissions::from_mode(mode | bits))
    }

    /// Leaves the file to others.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }

    /// Removes it, if it is still ours. The inode cannot have been reused: the socket holds it.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        if process::id() != self.owner {
            return Ok(());
        }
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => {
                ignore_missing(fs::remove_file(&self.path))
            }
            Ok(_) => Ok(()),
            Err(error) => ignore_missing(Err(error)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        self.remove().unwrap_or_default();
    }
}

/// A name that fits into a `sockaddr_un`. A path that is too long is written relative to the
/// working directory if it fits then, as Node does.
pub(super) fn fitting(name: &UnixName) -> io::Result<SockAddr> {
    unix_address(name).or_else(|error| match relative(name) {
        Some(shorter) => unix_address(&shorter).map_err(|_| error),
        None => Err(error),
    })
}

fn relative(UnixName(name): &UnixName) -> Option<UnixName> {
    let here = std::env::current_dir().ok()?;
    let path = Path::new(OsStr::from_bytes(name)).strip_prefix(here).ok()?;
    Some(UnixName(path.as_os_str().as_bytes().to_vec()))
}

/// A name that fits into a `sockaddr_un`.
fn unix_address(name: &UnixName) -> io::Result<SockAddr> {
    let bytes = &name.0;
    let is_abstract = bytes.first() == Some(&0);
    // A path is ended by a NUL byte, an abstract name by its length (unix(7)).
    let room = if is_abstract { SUN_PATH_SIZE } else { SUN_PATH_SIZE - 1 };
    if bytes.is_empty() {
        // The kernel would choose an abstract name, which nobody would learn.
        return Err(invalid("the name of a unix socket is empty".into()));
    }
    if !is_abstract && bytes.contains(&0) {
        return Err(invalid("the path of a unix socket contains a NUL byte".into()));
    }
    if bytes.len() > room {
        let length = bytes.len();
        return Err(invalid(format!(
            "the name of a unix socket is {length} bytes long, at most {room} fit: {name}"
        )));
    }
    SockAddr::unix(OsStr::from_bytes(bytes))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The size of `sun_path` (unix(7)).
const SUN_PATH_SIZE: usize = 108;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let kind = |name: Vec<u8>| unix_address(&UnixName(name)).map_err(|error| error.kind());
        assert_eq!(kind(vec![]).unwrap_err(), io::ErrorKind::InvalidInput);
        assert_eq!(kind(b"a\0b".to_vec()).unwrap_err(), io::ErrorKind::InvalidInput);
        assert_eq!(kind(vec![b'a'; 108]).unwrap_err(), io::ErrorKind::InvalidInput);
        assert!(kind(vec![b'a'; 107]).is_ok());
        assert!(kind(vec![0; 108]).is_ok());
        assert_eq!(kind(vec![0; 109]).unwrap_err(), io::ErrorKind::InvalidInput);
        let message = unix_address(&UnixName(vec![b'a'; 200])).unwrap_err().to_string();
        assert!(message.contains("200 bytes long, at most 107 fit"), "{message}");
    }

    #[test]
    fn only_the_process_that_bound_it_removes_the_file() {
        let path = std::env::temp_dir().join(format!("cluster-sys-owner-{}", process::id()));
        fs::write(&path, "").unwrap();
        let name = UnixName(path.as_os_str().as_bytes().to_vec());
        let mut file = SocketFile::just_made(&name).unwrap();
        file.owner += 1;
        file.remove().unwrap();
        assert!(path.exists());
        file.owner -= 1;
        drop(file);
        assert!(!path.exists());
    }
}
