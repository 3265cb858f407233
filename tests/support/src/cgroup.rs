//! cgroups in every hierarchy of the machine (v1, v2 or both), as kubelet makes them for a pod.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::process::signal;
use crate::wait::eventually;

/// A cgroup path such as `/kubepods/pod1`, made in every hierarchy. Dropping it ends what is in it and removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
}

impl Cgroup {
    /// Makes it, with cpuset filled in from its parent where that hierarchy needs it.
    pub fn create(path: &str) -> Result<Self> {
        let cgroup = Self { path: path.to_owned() };
        for hierarchy in hierarchies()? {
            let mut dir = hierarchy.clone();
            for part in path.split('/').filter(|part| !part.is_empty()) {
                let parent = dir.clone();
                dir.push(part);
                match fs::create_dir(&dir) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                        return Err(error).with_context(|| dir.display().to_string());
                    }
                    _ => inherit_cpuset(&parent, &dir)?,
                }
            }
        }
        Ok(cgroup)
    }

    /// What `cgroup_parent` takes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The cgroup's directory in the hierarchy that has this file, such as `memory.limit_in_bytes`.
    pub fn read(&self, file: &str) -> Result<String> {
        let path =
            hierarchies()?.into_iter().map(|root| below(&root, &self.path).join(file)).find(|path| path.exists());
        let path = path.with_context(|| format!("no hierarchy has {}/{file}", self.path))?;
        Ok(fs::read_to_string(path)?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
    }
}

/// Where the hierarchies are mounted.
pub(crate) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let of_line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup").then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or_default()))
    };
    let found: BTreeSet<PathBuf> = mounts.lines().filter_map(of_line).collect();
    Ok(found.into_iter().collect())
}

/// Every directory at and below a cgroup path, in all hierarchies.
pub(crate) fn directories(path: &str) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies()? {
        collect(&below(&hierarchy, path), &mut found);
    }
    Ok(found)
}

/// Kills what is in a cgroup path and removes it everywhere.
pub(crate) fn remove_tree(path: &str) -> Result<()> {
    eventually(&format!("cgroup {path} removed"), || {
        let directories = directories(path)?;
        for dir in directories.iter().rev() {
            for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
                signal(pid.parse()?, Signal::KILL)?;
            }
            // A frozen process dies only when it thaws.
            let _ = fs::write(dir.join("freezer.state"), "THAWED");
            let _ = fs::remove_dir(dir);
        }
        Ok(directories.is_empty())
    })
}

fn collect(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    found.insert(dir.to_owned());
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), found);
    }
}

fn below(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

fn inherit_cpuset(parent: &Path, dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(dir.join(file));
        if own.is_ok_and(|value| value.trim().is_empty()) && dir.join("tasks").exists() {
            fs::write(dir.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}
