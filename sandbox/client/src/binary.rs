//! The shim's binary, as a sealed copy in memory: a container that gets hold of `/proc/PID/exe` of a shim can write
//! neither to the file on disk (CVE-2019-5736) nor to what other shims run.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// The shim's binary, as a sealed copy in memory. Its pages are shared by all shims.
#[derive(Debug)]
pub(crate) struct Binary {
    memfd: OwnedFd,
}

impl Binary {
    /// Copies and seals a file.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know EXEC, and need no word for it.
        let memfd = match memfd_create("cofferdam-shim", flags | MemfdFlags::EXEC) {
            Err(Errno::INVAL) => memfd_create("cofferdam-shim", flags)?,
            other => other?,
        };
        let mut copy = File::from(memfd);
        io::copy(&mut File::open(path)?, &mut copy)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&copy, seals)?;
        // All shims run this one file, and root in a container may own it: its mode must stay as well. Linux 6.3.
        match fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::EXEC) {
            Err(Errno::INVAL) => fcntl_add_seals(&copy, SealFlags::SEAL)?,
            other => other?,
        }
        Ok(Binary { memfd: copy.into() })
    }

    /// A path to execute it by. Opened by execve before descriptors are closed there.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.memfd.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_copy_runs_and_cannot_be_written() {
        let binary = Binary::load(Path::new("/bin/true")).unwrap();
        assert!(Command::new(binary.path()).status().unwrap().success());
        assert_eq!(rustix::io::pwrite(&binary.memfd, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::fchmod(&binary.memfd, rustix::fs::Mode::empty()), Err(Errno::PERM));
    }
}
