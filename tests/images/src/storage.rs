//! Directories for a registry with the images of a set in them, kept outside the tree and keyed by what went into them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::set::ImageSet;
use crate::{Registry, push, recipes};

/// `$XDG_CACHE_HOME/cofferdam` or `~/.cache/cofferdam`, as the set-up scripts have it.
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    base.unwrap_or_else(home).join("cofferdam")
}

/// The directory with the images of the project's own tests, made when it is not there. Whoever changes blobs works on
/// a [`copy_storage`].
pub fn storage() -> Result<PathBuf> {
    storage_of(&recipes::base::SET)
}

/// The directory with the images of a set, made when it is not there.
pub fn storage_of(set: &ImageSet) -> Result<PathBuf> {
    let dir = cache_dir().join("images");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(format!(".{}.lock", set.name)))?;
    lock.lock().context("lock the image cache")?;
    let inputs = (set.inputs)()?;
    let done = dir.join(set.key(&inputs));
    if done.is_dir() {
        return Ok(done);
    }
    // Only the holder of the lock makes one: what lies here is of a run that was killed.
    let part = dir.join(format!("{}.part", set.name));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir_all(&part)?;
    {
        let registry = Registry::start(None, &part)?;
        push::push(registry.addr(), &(set.recipes)(&inputs)?)?;
    }
    fs::rename(&part, &done)?;
    Ok(done)
}

/// A private copy of the storage, for tests that break it.
pub fn copy_storage(to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-r").arg("--reflink=auto").arg(storage()?.join(".")).arg(to).status()?;
    ensure!(status.success(), "copy the image storage to {}: {status}", to.display());
    Ok(())
}

/// Changes one byte of a stored blob, so that what the registry sends does not match its digest.
pub fn corrupt_blob(storage: &Path, digest: &str) -> Result<()> {
    let hex = digest.trim_start_matches("sha256:");
    let path = storage.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    let mut data = fs::read(&path).with_context(|| path.display().to_string())?;
    let middle = data.len() / 2;
    data[middle] ^= 0xff;
    fs::write(&path, data)?;
    Ok(())
}
