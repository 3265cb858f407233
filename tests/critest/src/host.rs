//! Shared memory of the host that critest makes with ipcmk and leaves behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cofferdam_test_support::run;

/// A directory to put in front of `PATH`: its ipcmk notes what the real one makes, and dropping this removes it.
#[derive(Debug)]
pub struct SharedMemory {
    dir: PathBuf,
}

impl SharedMemory {
    /// Makes the directory.
    pub fn watch(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let watch = Self { dir: dir.to_owned() };
        let real = run("sh", ["-c", "command -v ipcmk"]).context("no ipcmk (util-linux)")?;
        let script = dir.join("ipcmk");
        let notes = watch.notes();
        fs::write(&script, format!("#!/bin/sh\n{} \"$@\" | tee -a {}\n", real.trim(), notes.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(watch)
    }

    /// `PATH` with the directory in front.
    pub fn path(&self) -> String {
        format!("{}:{}", self.dir.display(), std::env::var("PATH").unwrap_or_default())
    }

    fn notes(&self) -> PathBuf {
        self.dir.join("segments")
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let notes = fs::read_to_string(self.notes()).unwrap_or_default();
        // "Shared memory id: 5"
        for id in notes.lines().filter_map(|line| line.rsplit(' ').next()) {
            if let Err(error) = run("ipcrm", ["-m", id]) {
                eprintln!("shared memory segment {id} stays: {error:#}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_goes_with_its_watcher() {
        let dir = std::env::temp_dir().join(format!("cofferdam-ipcmk-{}", std::process::id()));
        let watch = SharedMemory::watch(&dir).unwrap();
        let made = run("env", [&format!("PATH={}", watch.path()), "ipcmk", "-M", "4096"]).unwrap();
        let id = made.trim().strip_prefix("Shared memory id: ").unwrap().to_owned();
        let exists = || run("ipcs", ["-m", "-i", &id]).is_ok_and(|text| text.contains("bytes=4096"));
        assert!(exists());
        drop(watch);
        assert!(!exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
