//! What the daemon takes for itself on the node before it touches anything: root and state, the network namespace,
//! limits.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cofferdam_pod_client::identity;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{cgroups, files, socket, state_mount};
use crate::config::Config;

/// Descriptors that the daemon may have open: a few for each pod.
const DESCRIPTORS: u64 = 1 << 20;

/// Held as long as the daemon runs.
pub struct Node {
    /// Boot id of the node.
    pub boot_id: String,
    /// No earlier daemon has left anything running in STATE.
    fresh: bool,
    _locks: [File; 2],
}

impl Node {
    /// The start has failed: what it has made is taken away, what an earlier daemon has left stays.
    pub fn abandon(&self, config: &Config) {
        if self.fresh
            && let Err(error) = release(config)
        {
            tracing::warn!("after the failed start: {error:#}");
        }
    }
}

/// Takes away what [`claim`] and the build have made outside the kernel's network: no sandbox is left.
pub fn release(config: &Config) -> anyhow::Result<()> {
    cgroups::remove(config.cgroup.root.trim_end_matches('/'))?;
    // Whatever else is in there is somebody else's.
    let _ = fs::remove_file(config.state.join(files::NETNS));
    let _ = fs::remove_dir(config.state.join(files::PODS));
    state_mount::unbind(&config.state)
}

/// Claims the node. Nothing of an earlier daemon is changed before both locks are held.
pub fn claim(config: &Config) -> anyhow::Result<Node> {
    if !rustix::process::geteuid().is_root() {
        bail!("cofferdam serve needs root");
    }
    // Whatever it was started with: a container's user reads the pod's files, which are made 0644 in directories that
    // say who may pass.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    let locks = [lock("root", &config.root)?, lock("state", &config.state)?];
    socket::check(&config.socket)?;
    let boot_id = identity::boot_id().context("read the boot id")?;
    network_namespace(&config.state, &boot_id)?;
    let fresh = state_mount::bind(&config.state)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become the subreaper")?;
    raise_descriptors().context("raise the limit of open files")?;
    Ok(Node { boot_id, fresh, _locks: locks })
}

/// How long the lock of a killed daemon can outlive it: a child that it had just forked holds it until it executes
/// something else.
const INHERITED: Duration = Duration::from_secs(2);

/// flock on the directory itself: it needs no file, and ends with the process.
fn lock(key: &str, dir: &Path) -> anyhow::Result<File> {
    let named = || format!("{key} {}", dir.display());
    files::private_dir(dir).with_context(named)?;
    let file = File::open(dir).with_context(named)?;
    let deadline = Instant::now() + INHERITED;
    while matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("{}: another cofferdam uses it", named()),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(named),
    }
}

/// Links, addresses and rules of the pods are in the namespace of the first start; a daemon elsewhere would find none
/// of them and protect nothing.
fn network_namespace(state: &Path, boot_id: &str) -> anyhow::Result<()> {
    let meta = fs::metadata("/proc/self/ns/net").context("look at the network namespace")?;
    let mine = format!("{boot_id} {}:{}", meta.dev(), meta.ino());
    let path = state.join(files::NETNS);
    match fs::read_to_string(&path) {
        Ok(before) if before.trim() == mine => Ok(()),
        // Another boot: nothing of it lives.
        Ok(before) if before.starts_with(boot_id) => bail!(
            "this is another network namespace than the one this node's pods were started in; start it there with \
             `nsenter --net=`, or remove {} if that one is gone",
            path.display()
        ),
        Ok(_) => files::write(&path, &mine),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => files::write(&path, &mine),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn raise_descriptors() -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS, |hard| hard.max(DESCRIPTORS));
    let set = |limit: u64| setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) });
    // fs.nr_open may be lower; then what was allowed before has to do.
    set(wanted).or_else(|_| maximum.map_or(Ok(()), set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_a_dead_daemons_child_lets_go_is_taken_and_a_held_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock("root", dir.path()).unwrap();
        let child = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(held);
        });
        let taken = lock("root", dir.path()).unwrap();
        child.join().unwrap();
        let refused = lock("root", dir.path()).unwrap_err().to_string();
        assert!(refused.contains("another cofferdam uses it"), "{refused}");
        drop(taken);
    }
}
