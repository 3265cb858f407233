//! The cgroups of a pod and of a container: found, made, joined, killed, removed.
//!
//! On v1 and hybrid machines every v1 hierarchy has a directory of the same path; cgroup2 counts only where it is
//! alone. A process joins by itself (`0` to v1 `tasks`, or CLONE_INTO_CGROUP): writing a pid to `cgroup.procs` waits
//! for an RCU grace period.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_cgroup::{Hierarchy, remove_tree};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::error::Step;

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    pub v2: bool,
    pub list: Vec<Hierarchy>,
}

impl Hierarchies {
    pub fn detect() -> Result<Self, Error> {
        let found = choose(cofferdam_cgroup::mounted().step("read /proc/self/mountinfo")?);
        if found.list.is_empty() {
            Err(Error::failed("find the cgroups", "no cgroup file system is mounted"))
        } else {
            Ok(found)
        }
    }
}

fn choose(mounted: Vec<Hierarchy>) -> Hierarchies {
    let (v2, mut v1): (Vec<Hierarchy>, Vec<Hierarchy>) = mounted.into_iter().partition(|hierarchy| hierarchy.v2);
    match v2.into_iter().next() {
        Some(hierarchy) if !v1.iter().any(Hierarchy::limits) => Hierarchies { v2: true, list: vec![hierarchy] },
        _ => {
            let mut seen = Vec::new();
            v1.retain(|hierarchy| {
                let first = !seen.contains(&hierarchy.controllers);
                seen.push(hierarchy.controllers.clone());
                first
            });
            Hierarchies { v2: false, list: v1 }
        }
    }
}

/// One cgroup, in all hierarchies.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    pub hierarchies: Hierarchies,
    pub path: String,
}

impl Cgroup {
    pub fn new(hierarchies: Hierarchies, path: &str) -> Result<Self, Error> {
        let path = path.trim_matches('/');
        if path.is_empty() || path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Error::refused("linux.cgroupsPath", format!("{path:?} is not the path of a cgroup")));
        }
        Ok(Cgroup { hierarchies, path: path.to_owned() })
    }

    pub fn v2(&self) -> bool {
        self.hierarchies.v2
    }

    pub fn dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.list.iter().map(|h| h.mount.join(&self.path))
    }

    /// Where a controller's files are; on v2 always the one directory.
    pub fn dir(&self, controller: &str) -> Option<PathBuf> {
        let one = self.hierarchies.list.iter().find(|h| self.v2() || h.controllers.iter().any(|c| c == controller));
        one.map(|h| h.mount.join(&self.path))
    }

    /// Makes it in every hierarchy; on v2 gives its parents' controllers on.
    pub fn make(&self) -> Result<(), Error> {
        for hierarchy in &self.hierarchies.list {
            let mut at = hierarchy.mount.clone();
            for part in self.path.split('/') {
                if self.v2() {
                    for controller in ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"] {
                        // Which controllers there are is the kernel's and the parents' business: limits tell what is
                        // missing.
                        drop(write(&at.join("cgroup.subtree_control"), &format!("+{controller}")));
                    }
                }
                at.push(part);
                match fs::create_dir(&at) {
                    Ok(()) if hierarchy.controllers.iter().any(|c| c == "cpuset") => inherit_cpuset(&at)?,
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(e).step_at("make the cgroup", at.display());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Moves the calling process in (v1). On v2 it was born there.
    pub fn join(&self) -> Result<(), Error> {
        if self.v2() {
            return Ok(());
        }
        self.dirs().try_for_each(|dir| write(&dir.join("tasks"), "0").step_at("join the cgroup", dir.display()))
    }

    /// For CLONE_INTO_CGROUP.
    pub fn birth(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(dir) = self.dirs().next().filter(|_| self.v2()) else { return Ok(None) };
        crate::resolve::open_host(&dir).map(Some).step_at("open the cgroup", dir.display())
    }

    pub fn pids(&self) -> Vec<i32> {
        let dir = self.dir("freezer").or_else(|| self.dir("pids")).or_else(|| self.dirs().next());
        let mut pids = Vec::new();
        if let Some(dir) = dir {
            collect(&dir, &mut pids);
        }
        pids
    }

    /// Kills all in it: v2 cgroup.kill; v1 freeze, kill, thaw, so that no fork escapes.
    pub fn kill(&self) -> Result<(), Error> {
        if self.v2()
            && let Some(dir) = self.dirs().next()
        {
            match write(&dir.join("cgroup.kill"), "1") {
                Err(e) if e.kind() == io::ErrorKind::NotFound && !dir.exists() => return Ok(()),
                other => return other.step_at("kill the cgroup", dir.display()),
            }
        }
        let freezer = self.dir("freezer").map(|d| d.join("freezer.state"));
        let state = |word| freezer.as_ref().map_or(Ok(()), |f| write(f, word));
        drop(state("FROZEN"));
        let killed = self.signal(Signal::KILL.as_raw());
        drop(state("THAWED"));
        killed
    }

    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let signal =
            Signal::from_named_raw(signal).ok_or_else(|| Error::refused("signal", format!("{signal} is not known")))?;
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            match kill_process(pid, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(Error::failed(format!("signal process {pid:?}"), error)),
            }
        }
        Ok(())
    }

    /// Removes it. What still runs in it is killed first.
    pub fn remove(&self) -> Result<(), Error> {
        for round in 0..400 {
            let mut busy = None;
            for dir in self.dirs() {
                if let Err(error) = remove_tree(&dir) {
                    busy = Some((dir, error));
                }
            }
            match busy {
                None => return Ok(()),
                Some((dir, error)) if round == 399 => return Err(error).step_at("remove the cgroup", dir.display()),
                // Killed processes leave when the scheduler gets to them; nothing tells of it on v1.
                Some(_) => {
                    self.kill()?;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
        Ok(())
    }
}

/// The directories below, which a container that may write to its cgroup has made.
fn below(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn collect(dir: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|pid| *pid > 0));
    below(dir).for_each(|dir| collect(&dir, pids));
}

/// A v1 cpuset takes no process before it has CPUs and memory nodes.
fn inherit_cpuset(dir: &Path) -> Result<(), Error> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(parent.join(file)).step_at("read the parent's", file)?;
        write(&dir.join(file), value.trim()).step_at("set", dir.join(file).display())?;
    }
    Ok(())
}

/// Writes a control file in one call; never makes one.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(mount: &str, v2: bool, controllers: &[&str]) -> Hierarchy {
        let controllers = controllers.iter().map(|name| name.to_string()).collect();
        Hierarchy { mount: mount.into(), whole: true, v2, controllers }
    }

    #[test]
    fn a_hybrid_machine_is_v1_and_a_pure_one_v2() {
        let v2 = mounted("/sys/fs/cgroup/unified", true, &[]);
        let v1 = mounted("/sys/fs/cgroup/cpu", false, &["cpu", "cpuacct"]);
        let named = mounted("/sys/fs/cgroup/systemd", false, &["name=systemd"]);
        assert!(choose(vec![v2.clone()]).v2);
        assert_eq!(choose(vec![named, v2.clone()]), Hierarchies { v2: true, list: vec![v2.clone()] });
        let hybrid = choose(vec![v1.clone(), v2, mounted("/again", false, &["cpu", "cpuacct"])]);
        assert!(!hybrid.v2);
        assert_eq!(hybrid.list, [v1]);
    }

    #[test]
    fn a_path_that_leads_up_is_refused() {
        let none = Hierarchies { v2: true, list: Vec::new() };
        for path in ["/", "/a/../b", "a//b"] {
            assert!(Cgroup::new(none.clone(), path).is_err(), "{path}");
        }
    }
}
