//! STATE is bound onto itself and shared: what the daemon mounts below it reaches virtiofsd and outlives the daemon.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};

/// Binds, unless an earlier daemon has. Whether it was done now.
pub fn bind(state: &Path) -> anyhow::Result<bool> {
    let path = fs::canonicalize(state).with_context(|| state.display().to_string())?;
    let table = fs::read_to_string("/proc/self/mountinfo").context("read mountinfo")?;
    let fresh = !is_mount_point(&table, &path);
    if fresh {
        mount_bind(&path, &path).with_context(|| format!("bind {} onto itself", path.display()))?;
    }
    mount_change(&path, MountPropagationFlags::SHARED).with_context(|| format!("make {} shared", path.display()))?;
    Ok(fresh)
}

/// Takes the mount away again: no sandbox is left.
pub fn unbind(state: &Path) -> anyhow::Result<()> {
    let path: PathBuf = fs::canonicalize(state).with_context(|| state.display().to_string())?;
    // The lock on the directory is a descriptor below the mount, so it is still busy.
    unmount(&path, UnmountFlags::DETACH).with_context(|| format!("unmount {}", path.display()))
}

fn is_mount_point(mountinfo: &str, path: &Path) -> bool {
    let escaped = escape(path);
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| point.as_bytes() == escaped)
}

/// As mountinfo writes a path.
fn escape(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").bytes()),
            other => text.push(*other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_by_its_whole_path() {
        let table =
            "25 1 0:22 / /run/cofferdam rw shared:5 - tmpfs tmpfs rw\n26 1 0:22 / /run/a\\040b rw - tmpfs tmpfs rw\n";
        assert!(is_mount_point(table, Path::new("/run/cofferdam")));
        assert!(is_mount_point(table, Path::new("/run/a b")));
        assert!(!is_mount_point(table, Path::new("/run")));
    }
}
