//! The daemon's own cgroups: made at its start, taken away at its end when no sandbox is left.

use std::io;

use anyhow::Context as _;
use cofferdam_pod_client::cgroup;

/// Below `[cgroup] root`: shims, and pods without a cgroup parent.
const PARTS: [&str; 2] = ["shims", "pods"];

/// Makes them in every hierarchy.
pub fn make(root: &str) -> anyhow::Result<()> {
    let make = |part: &&str| cgroup::make(&format!("{root}/{part}"));
    PARTS.iter().try_for_each(make).with_context(|| format!("cgroup.root {root}"))
}

/// Removes them where they are empty: another daemon may have the same root.
pub fn remove(root: &str) -> anyhow::Result<()> {
    let hierarchies = cgroup::hierarchies().context("read mountinfo")?;
    for mount in hierarchies {
        let root = mount.join(root.trim_start_matches('/'));
        for dir in PARTS.iter().map(|part| root.join(part)).chain([root.clone()]) {
            match std::fs::remove_dir(&dir) {
                Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy) => {
                    return Err(error).with_context(|| dir.display().to_string());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
