//! Writable layers of containers: made, measured, removed.
//!
//! `layers.json` is written before the directories it stands for; a snapshot without it was never handed out.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use crate::store::{Snapshot, Store, measure};
use crate::{ImageError, names};

/// What an overlay of a container is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// Layers of the image, top first; never empty.
    pub lowerdirs: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// Where overlay prepares files; on the same file system.
    pub work: PathBuf,
}

/// Makes a container's writable layer, or finds the one that it has. Blocking.
pub(crate) fn prepare(store: &Arc<Store>, container: &str, image_id: &str) -> Result<Rootfs, ImageError> {
    check(container)?;
    let dir = store.root().join("snapshots").join(container);
    let (layers, old) = {
        let mut state = store.lock();
        let image = state.metadata.images.get(image_id);
        let image = image.ok_or_else(|| ImageError::NotFound(format!("image {image_id:?} not found")))?;
        let mut layers = stack(&image.layers)?;
        layers.splice(0..0, image.parents.clone());
        // From here on no sweep takes them.
        let snapshot = Snapshot::new(layers.clone());
        (layers, state.snapshots.insert(container.to_owned(), snapshot))
    };
    if old.is_some_and(|old| old.layers != layers) {
        return Err(ImageError::Invalid(format!("container {container} has a writable layer on another image")));
    }
    let lowerdirs: Vec<PathBuf> = match layers.is_empty() {
        true => vec![store.root().join("empty")],
        false => layers.iter().map(|key| store.layer_dir(key)).collect(),
    };
    let rootfs = Rootfs { upper: dir.join("upper"), work: dir.join("work"), lowerdirs };
    make(&dir, &layers, &rootfs).map_err(|e| {
        let _ = remove(store, container);
        ImageError::io(format!("make {}", dir.display()), e)
    })?;
    Ok(rootfs)
}

fn make(dir: &Path, layers: &[String], rootfs: &Rootfs) -> std::io::Result<()> {
    if rootfs.work.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    let intent = dir.join("layers.part");
    std::fs::write(&intent, serde_json::to_vec(layers)?)?;
    std::fs::rename(&intent, dir.join("layers.json"))?;
    std::fs::create_dir_all(&rootfs.upper)?;
    // The root of an overlay is that of its upper layer.
    let below = rootfs.lowerdirs[0].metadata()?;
    std::os::unix::fs::chown(&rootfs.upper, Some(below.uid()), Some(below.gid()))?;
    std::fs::set_permissions(&rootfs.upper, Permissions::from_mode(below.mode() & 0o7777))?;
    std::fs::create_dir_all(&rootfs.work)
}

/// Top first. An overlay refuses a directory twice; the upper place of an equal layer is the one that counts.
fn stack(diff_ids: &[String]) -> Result<Vec<String>, ImageError> {
    let mut layers = Vec::new();
    for diff_id in diff_ids.iter().rev() {
        let key = names::hex_of(diff_id)?.to_owned();
        if !layers.contains(&key) {
            layers.push(key);
        }
    }
    Ok(layers)
}

/// Removes a writable layer. Blocking, but its files go after the answer.
pub(crate) fn remove(store: &Arc<Store>, container: &str) -> Result<(), ImageError> {
    check(container)?;
    let moved = store.trash().discard(&store.root().join("snapshots").join(container));
    store.lock().snapshots.remove(container);
    moved.map_err(|e| ImageError::io(format!("remove the writable layer of {container}"), e))
}

/// Measures in the background what was not measured lately.
pub(crate) fn refresh(store: &Arc<Store>) {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    let stale: Vec<String> = {
        let state = store.lock();
        state.snapshots.iter().filter(|(_, s)| s.is_stale()).map(|(name, _)| name.clone()).collect()
    };
    if stale.is_empty() || RUNNING.swap(true, SeqCst) {
        return;
    }
    let store = store.clone();
    std::thread::spawn(move || {
        for name in stale {
            let began = Instant::now();
            let found = measure(&store.root().join("snapshots").join(&name).join("upper"));
            if let Some(snapshot) = store.lock().snapshots.get_mut(&name) {
                snapshot.measured(found, began.elapsed());
            }
        }
        RUNNING.store(false, SeqCst);
    });
}

/// An id becomes a file name.
fn check(container: &str) -> Result<(), ImageError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if container.is_empty() || container.starts_with('.') || !container.bytes().all(good) {
        return Err(ImageError::Invalid(format!("container id {container:?} is no file name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_stacked_top_first_and_each_once() {
        let ids: Vec<String> = ["a", "b", "a", "c"].map(|t| names::sha256(t.as_bytes())).into();
        let key = |text: &str| names::hex_of(&names::sha256(text.as_bytes())).unwrap().to_owned();
        assert_eq!(stack(&ids).unwrap(), [key("c"), key("a"), key("b")]);
    }

    #[test]
    fn a_container_id_never_leaves_the_directory() {
        for bad in ["", "..", "a/b", ".old-1-x", "a\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("0123abc").is_ok());
    }
}
