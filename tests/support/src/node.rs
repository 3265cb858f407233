//! A node for the kernel tests of sandboxes: a directory, a cgroup root, a root file system of busybox, and what proves
//! that nothing is left. The daemon's tests have one more around it: [`crate::Daemon`].

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::cgroup;
use crate::leaks::mounts_below;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Dropping it ends every process in its cgroups and removes these, and every mount in its directory.
#[derive(Debug)]
pub struct Node {
    dir: TempDir,
    cgroup: String,
}

impl Node {
    /// `name` goes into the names of cgroups.
    pub fn new(name: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // Containers of user namespaces walk through it.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        busybox(&dir.path().join("layer"))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(Self { dir, cgroup: format!("/cofferdam-{name}-test-{}-{number}", std::process::id()) })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The path of the cgroup above everything of this node, in every hierarchy. Making it is up to the test.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The only layer of a root file system.
    pub fn layer(&self) -> PathBuf {
        self.dir().join("layer")
    }

    /// An id of a container that no other has, with upper and work directory of its overlay.
    pub fn overlay(&self) -> Result<(String, PathBuf, PathBuf)> {
        let id = format!("c{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (upper, work) = (self.dir().join(format!("{id}-upper")), self.dir().join(format!("{id}-work")));
        fs::create_dir(&upper)?;
        fs::create_dir(&work)?;
        Ok((id, upper, work))
    }

    /// An id of a sandbox that no other has.
    pub fn sandbox_id(&self) -> String {
        format!("{:064x}", NUMBER.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// What is left of a sandbox: mounts below its directory, and its cgroups.
    pub fn left_of(&self, dir: &Path, cgroup: &str) -> Result<Vec<String>> {
        let cgroups = cgroup_dirs(cgroup)?.into_iter().map(|dir| format!("cgroup {}", dir.display()));
        Ok(mounts_below(dir)?.into_iter().map(|mount| format!("mount {mount}")).chain(cgroups).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What a failed test left would be in every other program's way.
        let removed = cgroup::remove_tree(&self.cgroup);
        for point in mounts_below(self.dir()).unwrap_or_default().iter().rev() {
            let _ = unmount(point.as_str(), UnmountFlags::DETACH);
        }
        if let Err(error) = removed {
            eprintln!("clean-up of {}: {error:#}", self.cgroup);
        }
    }
}

/// The directories of one cgroup, in all hierarchies that have it.
pub fn cgroup_dirs(path: &str) -> Result<Vec<PathBuf>> {
    let all = cgroup::hierarchies()?.into_iter().map(|root| root.join(path.trim_start_matches('/')));
    Ok(all.filter(|dir| dir.exists()).collect())
}

/// The processes in a cgroup and below it.
pub fn cgroup_processes(path: &str) -> Result<BTreeSet<u32>> {
    let texts = cgroup::directories(path)?.into_iter().map(|dir| fs::read_to_string(dir.join("cgroup.procs")));
    Ok(texts.flatten().flat_map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect())
}

/// Builds a binary of the workspace from this very source, since cargo builds no other package's for a test by itself;
/// its path.
pub fn build_binary(package: &str, options: &[&str], below_target: &str) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "-p", package]).args(options).current_dir(env!("CARGO_MANIFEST_DIR"));
    ensure!(command.status()?.success(), "{command:?}");
    // TARGET/debug/deps/TEST
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("the test is not in a target directory")?;
    Ok(target.join(below_target))
}

/// Directories and applets of busybox.
fn busybox(root: &Path) -> Result<()> {
    for dir in ["bin", "data", "dev", "etc", "home", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let program = root.join("bin/busybox");
    fs::copy("/bin/busybox", &program).context("/bin/busybox of Debian's busybox-static")?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let applets = [
        "awk", "cat", "chown", "dd", "env", "grep", "head", "hostname", "id", "kill", "ls", "mkdir", "mknod", "mount",
        "nc", "ps", "pwd", "readlink", "seq", "setsid", "sh", "sleep", "sort", "stat", "stty", "tail", "touch", "true",
        "tty", "umount", "uname", "unshare", "wc",
    ];
    for applet in applets {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    Ok(fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?)
}
