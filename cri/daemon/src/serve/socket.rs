//! The daemon's unix socket: at a path of any length, mode 0600, never taken from a daemon that serves it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{Mode, OFlags, open};

/// Whether it can be listened at: asked before anything is touched.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let named = || format!("socket {}", path.display());
    match state(path).with_context(named)? {
        State::Served => bail!("{}: another process serves it", named()),
        State::Other => bail!("{}: is there, and is no socket", named()),
        State::Stale | State::Absent => Ok(()),
    }
}

/// Listens at `path`. What a dead daemon left there is replaced.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let named = || format!("socket {}", path.display());
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { bail!("{}: is no path", named()) };
    DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(named)?;
    check(path)?;
    // Bound under a short name, and moved: nobody sees it before it has its mode, and its own name may be long.
    let (_held, dir) = short(dir).with_context(named)?;
    let part = dir.join(format!(".cofferdam-{}", std::process::id()));
    let made = || {
        let _ = fs::remove_file(&part);
        let listener = UnixListener::bind(&part)?;
        fs::set_permissions(&part, Permissions::from_mode(0o600))?;
        fs::rename(&part, dir.join(name))?;
        Ok::<_, io::Error>(listener)
    };
    made().with_context(named)
}

/// Removes it.
pub fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "the socket could not be removed");
    }
}

/// A directory by its descriptor: a socket address holds 108 bytes.
fn short(dir: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let fd = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    Ok((fd, path))
}

enum State {
    Absent,
    Stale,
    Served,
    Other,
}

fn state(path: &Path) -> io::Result<State> {
    let fd = match open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(State::Absent),
        Err(error) => return Err(error.into()),
    };
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != rustix::fs::FileType::Socket {
        return Ok(State::Other);
    }
    match UnixStream::connect(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Ok(_) => Ok(State::Served),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(State::Stale),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_works_is_private_and_a_dead_daemons_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d".repeat(120)).join("s".repeat(120));
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = listen(&path).unwrap_err().to_string();
        assert!(error.contains("another process serves it"), "{error}");
        drop(listener);
        listen(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "x").unwrap();
        assert!(listen(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
