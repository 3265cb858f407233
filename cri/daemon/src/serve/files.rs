//! Names below root and state, and writing a file whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Below STATE: which network namespace the pods of this boot are in.
pub const NETNS: &str = "netns";
/// Below STATE: one directory a pod.
pub const PODS: &str = "pods";
/// Below STATE: the last good cluster objects.
pub const CLUSTER_OBJECTS: &str = "cluster-objects";
/// Below ROOT: the daemon's state.
pub const STORE: &str = "state.redb";
/// Below ROOT: images and writable layers.
pub const IMAGES: &str = "images";

/// Replaces a file with this text, durably: a crash leaves the old or the new one.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let put = || {
        let mut file = File::create(&part)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    put().with_context(|| path.display().to_string())
}
