//! The programs of the cluster.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// etcd, from Debian.
pub fn etcd() -> Result<PathBuf> {
    let path = Path::new("/usr/bin/etcd");
    ensure!(path.exists(), "no {}: tests/setup/apt.sh test installs it", path.display());
    Ok(path.to_owned())
}
