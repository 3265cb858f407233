//! The registry's directory with all test images in it, kept outside the tree and keyed by what went into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::layer::Blob;
use crate::{Registry, debian, push, recipes};

/// `$XDG_CACHE_HOME/cofferdam` or `~/.cache/cofferdam`, as the set-up scripts have it.
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    base.unwrap_or_else(home).join("cofferdam")
}

/// The directory, made when it is not there. Whoever changes blobs works on a [`copy_storage`].
pub fn storage() -> Result<PathBuf> {
    let dir = cache_dir().join("images");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(".lock"))?;
    lock.lock().context("lock the image cache")?;
    let debs = debian::packages(&recipes::PACKAGES)?;
    let names: Vec<String> = debs.iter().map(|deb| deb.display().to_string()).collect();
    let key = Blob::new(format!("{} {}", recipes::VERSION, names.join(" ")).into_bytes()).digest;
    let done = dir.join(&key["sha256:".len()..][..16]);
    if done.is_dir() {
        return Ok(done);
    }
    // Only the holder of the lock makes one: what lies here is of a run that was killed.
    let part = dir.join("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir_all(&part)?;
    {
        let registry = Registry::start(None, &part)?;
        push::push(registry.addr(), &recipes::all(&debs)?)?;
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
