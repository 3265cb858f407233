//! Names below root and state, and writing a file whole.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// The bit of directories like /tmp.
const STICKY: u32 = 0o1000;

/// Below STATE: which network namespace the pods of this boot are in.
pub const NETNS: &str = "netns";
/// Below STATE: one directory a pod.
pub const PODS: &str = "pods";
/// Below STATE: the last good cluster objects.
pub const CLUSTER_OBJECTS: &str = "cluster-objects";
/// Below STATE: addresses that were just released.
pub const QUARANTINE: &str = "quarantine";
/// Below ROOT: the daemon's state.
pub const STORE: &str = "state.redb";
/// Below ROOT: images and writable layers.
pub const IMAGES: &str = "images";

/// Makes a directory that only its owner may enter, whatever the umask, and takes such rights from one that is there.
pub fn private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::metadata(path)?;
    // /tmp, or somebody's home, must not become private by a slip of the configuration.
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & STICKY != 0 {
        return Err(io::Error::other("is no directory of our own"));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Replaces a file with this text, durably: a crash leaves the old or the new one. Only the owner may read it.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let put = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    put().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_to_others_is_closed_and_what_is_not_ours_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let (new, old) = (dir.path().join("a/b"), dir.path().join("old"));
        fs::create_dir(&old).unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o777)).unwrap();
        for path in [&new, &old] {
            private_dir(path).unwrap();
            assert_eq!(mode(path), 0o700);
            write(&path.join("f"), "x").unwrap();
            fs::set_permissions(path.join("f"), Permissions::from_mode(0o644)).unwrap();
            write(&path.join("f"), "x").unwrap();
            assert_eq!(mode(&path.join("f")), 0o600);
        }
        fs::set_permissions(&old, Permissions::from_mode(0o1777)).unwrap();
        assert!(private_dir(&old).is_err() && mode(&old) == 0o1777);
        assert!(private_dir(&new.join("f")).is_err());
    }
}
