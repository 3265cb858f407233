//! Unix sockets at paths of any length, bound and reached through the directory's descriptor: a socket address holds
//! 108 bytes.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use tokio::net::UnixStream;

/// Name of a shim's socket in its pod's directory.
const SOCKET: &str = "shim.sock";

fn in_dir(dir: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let fd = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", dir.display())))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", fd.as_raw_fd()));
    Ok((fd, path))
}

/// Binds the socket of a new shim. What a cut-off attempt left there is replaced.
pub(crate) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let (_dir, path) = in_dir(dir)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to a shim.
pub(crate) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (_dir, path) = in_dir(dir)?;
    UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_longer_than_a_socket_address_works_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let _listener = listen(&deep).unwrap();
        connect(&deep).await.unwrap();
        assert_eq!(std::fs::metadata(deep.join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o600);
        listen(&deep).unwrap();
    }
}
