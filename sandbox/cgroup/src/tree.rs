//! One cgroup in every hierarchy: made, looked into, killed, removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::hierarchy::{Hierarchy, mounted};

/// The mount points of all cgroup hierarchies, v1 and v2.
///
/// # Errors
/// mountinfo cannot be read.
pub fn hierarchies() -> io::Result<Vec<PathBuf>> {
    Ok(whole(mounted()?).into_iter().map(|hierarchy| hierarchy.mount).collect())
}

/// The mount points of the hierarchies that pods have cgroups in: all of v1, and cgroup2 only where it is alone (beside
/// named ones).
///
/// # Errors
/// mountinfo cannot be read.
pub fn pod_hierarchies() -> io::Result<Vec<PathBuf>> {
    Ok(for_pods(whole(mounted()?)))
}

fn whole(mounted: Vec<Hierarchy>) -> Vec<Hierarchy> {
    mounted.into_iter().filter(|hierarchy| hierarchy.whole).collect()
}

fn for_pods(all: Vec<Hierarchy>) -> Vec<PathBuf> {
    let hybrid = all.iter().any(Hierarchy::limits);
    all.into_iter().filter(|hierarchy| !(hybrid && hierarchy.v2)).map(|hierarchy| hierarchy.mount).collect()
}

fn below(mount: &Path, cgroup: &str) -> PathBuf {
    mount.join(cgroup.trim_start_matches('/'))
}

/// Makes a cgroup in every hierarchy. Idempotent.
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn make(cgroup: &str) -> io::Result<()> {
    for mount in hierarchies()? {
        let mut path = mount.clone();
        for part in Path::new(cgroup.trim_start_matches('/')).components() {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => inherit_cpuset(&parent, &path)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
    }
    Ok(())
}

// On v1 a new cpuset is empty and takes no process.
fn inherit_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = child.join(file);
        if child.join("cgroup.subtree_control").exists() || !path.exists() {
            continue;
        }
        if fs::read_to_string(&path)?.trim().is_empty() {
            fs::write(&path, fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Every process in a cgroup and below it.
pub fn processes(cgroup: &str) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    for mount in hierarchies().unwrap_or_default() {
        collect(&below(&mount, cgroup), &mut pids);
    }
    pids
}

fn collect(dir: &Path, pids: &mut BTreeSet<i32>) {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    directories(dir).iter().for_each(|dir| collect(dir, pids));
}

/// Kills every process in a cgroup and below it, and waits until they are gone (at most 5 s).
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn kill(cgroup: &str) -> io::Result<()> {
    if cgroup.trim_matches('/').is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root cgroup is nobody's"));
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let mounts = hierarchies()?;
    loop {
        let pids = processes(cgroup);
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{cgroup}: processes {pids:?} do not end")));
        }
        freeze(&mounts, cgroup, true);
        for pid in pids.into_iter().chain(processes(cgroup)) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for mount in &mounts {
            let _ = fs::write(below(mount, cgroup).join("cgroup.kill"), "1");
        }
        freeze(&mounts, cgroup, false);
        std::thread::sleep(Duration::from_millis(2));
    }
}

// What is frozen cannot fork away from its killer. v1 only; v2 has cgroup.kill.
fn freeze(mounts: &[PathBuf], cgroup: &str, frozen: bool) {
    for mount in mounts {
        let state = below(mount, cgroup).join("freezer.state");
        if state.exists() {
            let _ = fs::write(state, if frozen { "FROZEN" } else { "THAWED" });
        }
    }
}

/// Removes an empty cgroup and all below it, in every hierarchy. What is gone already is a success.
///
/// # Errors
/// What the kernel refuses, with the path.
pub fn remove(cgroup: &str) -> io::Result<()> {
    if cgroup.trim_matches('/').is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root cgroup is nobody's"));
    }
    // A process that was just reaped may hold one for a moment.
    let deadline = Instant::now() + Duration::from_secs(1);
    hierarchies()?.iter().try_for_each(|mount| {
        loop {
            match remove_tree(&below(mount, cgroup)) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                other => return other,
            }
        }
    })
}

/// Most directories below one cgroup; more are made while they are removed.
const MOST: usize = 1 << 20;

/// Removes one directory of a hierarchy with all below it, however deep. What is gone already is a success.
///
/// # Errors
/// What the kernel refuses, with the path: busy while a process is left in one of them.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    let mut left = vec![dir.to_owned()];
    for _ in 0..MOST {
        let Some(dir) = left.last() else { return Ok(()) };
        match fs::remove_dir(dir) {
            // What a cgroup says of cgroups below it, and what other directories say.
            Err(error) if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty) => {
                let before = left.len();
                let children = directories(dir);
                left.extend(children);
                if left.len() == before {
                    let dir = left.last().map(|dir| dir.display().to_string()).unwrap_or_default();
                    return Err(io::Error::new(error.kind(), format!("{dir}: {error}")));
                }
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", dir.display())));
            }
            _ => drop(left.pop()),
        }
    }
    Err(io::Error::other(format!("{}: more cgroups below it than can be removed", dir.display())))
}

/// The directories in one.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::parse;

    #[test]
    fn pods_use_cgroup2_only_where_no_controller_is_in_v1() {
        let v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cpu = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let named = "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let names = |text: &str| -> Vec<_> {
            let all = for_pods(parse(text));
            all.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&[cpu, named, v2].concat()), ["cpu", "systemd"]);
        assert_eq!(names(&[named, v2].concat()), ["systemd", "unified"]);
        assert_eq!(names(v2), ["unified"]);
    }

    #[test]
    fn a_tree_is_removed_however_deep_and_what_is_not_there_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cgroup");
        fs::create_dir_all(root.join("x/".repeat(1500))).unwrap();
        fs::create_dir_all(root.join("y/z")).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        remove_tree(&root).unwrap();
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("file"), "").unwrap();
        let error = remove_tree(&root).unwrap_err();
        assert!(error.to_string().contains("cgroup"), "{error}");
    }

    #[test]
    fn the_root_is_never_killed_or_removed() {
        assert!(kill("/").is_err() && remove("").is_err() && remove("//").is_err());
    }
}
