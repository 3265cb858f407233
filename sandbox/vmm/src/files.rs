//! The server of the share: virtiofsd.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use cofferdam_pod_api::BootConfig;
use cofferdam_sys::process::Spawned;
use rustix::fs::{Mode, OFlags, open};

use crate::child::{self, Program, User};
use crate::error::Step;
use crate::root::{BindKind, Root};
use crate::{Descriptors, VmmError};

/// Most files that a guest can make the host keep open: each inode in the guest's cache is a descriptor here.
const FILES: u64 = 262_144;

/// Where the share is in the server's root directory.
const SHARE: &str = "share";

const SOCKET: &str = "share.sock";

// It would take a log line for each odd request, which a guest can make without end.
fn arguments(program: &Path, listener: i32) -> Vec<String> {
    let options =
        format!("source=/{SHARE},sandbox=chroot,cache=auto,xattr,posix_lock,flock,announce_submounts,log_level=err");
    let (program, listener) = (program.to_string_lossy().into_owned(), format!("--fd={listener}"));
    vec![program, "-f".into(), listener, "--rlimit-nofile=0".into(), "-o".into(), options]
}

/// Starts it, and answers the connected socket for the VMM.
pub(crate) fn start(
    config: &BootConfig,
    descriptors: &Descriptors,
    dir: &Path,
) -> Result<(Spawned, OwnedFd), VmmError> {
    let (listener, connected) = socket(dir).step("make the socket of the share")?;
    let root = Root { proc: true, ..Root::of_program(&config.file_server).with(&config.share, SHARE, BindKind::Share) };
    let spawned = child::start(&Program {
        name: "virtiofsd",
        args: arguments(&config.file_server, listener.as_raw_fd()),
        root,
        at: dir,
        cgroup: &config.file_server_cgroup,
        user: User::FileServer,
        keep: vec![listener.as_fd()],
        stdout: descriptors.messages.as_fd(),
        stderr: descriptors.messages.as_fd(),
        files: FILES,
    })?;
    Ok((spawned, connected))
}

// virtiofsd accepts one connection. It is already there, so the path goes at once.
fn socket(dir: &Path) -> io::Result<(UnixListener, OwnedFd)> {
    let dir = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let connected = UnixStream::connect(&path);
    std::fs::remove_file(&path)?;
    Ok((listener, connected?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_socket_is_given_by_number_and_its_path_is_gone() {
        let args = arguments(Path::new("/usr/lib/qemu/virtiofsd"), 7);
        assert_eq!(args[0], "/usr/lib/qemu/virtiofsd");
        assert!(args.contains(&"--fd=7".to_owned()) && !args.iter().any(|arg| arg.contains("socket-path")));
        let dir = tempfile::tempdir().unwrap();
        let (listener, _connected) = socket(dir.path()).unwrap();
        listener.accept().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
