//! How a process gets into a cgroup: by itself on v1 (`0` to `tasks`), at birth or by itself on v2. A number written to
//! `cgroup.procs` of v1 would wait for an RCU grace period.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};

use crate::hierarchy::{Hierarchy, mounted};

/// How a child of this process gets into its cgroup.
pub enum Joining {
    /// `tasks` of each hierarchy, to be opened and written by the child.
    Tasks(Vec<PathBuf>),
    /// The directory for CLONE_INTO_CGROUP.
    Into(OwnedFd),
}

impl Joining {
    /// Finds out how for a cgroup of this path, which exists.
    ///
    /// # Errors
    /// A path that is none of a pod's; mountinfo or the cgroup cannot be opened.
    pub fn of(path: &str) -> io::Result<Self> {
        let path = path.trim_matches('/');
        if path.is_empty() || path.split('/').any(|part| part == "..") {
            return Err(io::Error::other(format!("{path:?} is not the path of a cgroup of a pod")));
        }
        let (v1, v2) = split(mounted()?);
        match v2 {
            Some(mount) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Ok(Joining::Into(open(mount.join(path), flags, Mode::empty())?))
            }
            None => Ok(Joining::Tasks(v1.iter().map(|mount| mount.join(path).join("tasks")).collect())),
        }
    }

    /// In the child.
    ///
    /// # Errors
    /// A file of `tasks` cannot be written; names it.
    pub fn join(&self) -> io::Result<()> {
        match self {
            Joining::Tasks(files) => files.iter().try_for_each(write_self),
            Joining::Into(_) => Ok(()),
        }
    }
}

/// Moves the calling process into a cgroup, in every v1 hierarchy, or in cgroup2 where it is alone. On a hybrid machine
/// its place in cgroup2, which limits nothing there, is good enough.
///
/// # Errors
/// A file cannot be written; names it.
pub fn join(cgroup: &str) -> io::Result<()> {
    let join = |file| write_self(&file).map_err(|error| io::Error::new(error.kind(), format!("join {error}")));
    files(mounted()?, cgroup).into_iter().try_for_each(join)
}

fn files(mounted: Vec<Hierarchy>, cgroup: &str) -> Vec<PathBuf> {
    let (v1, v2) = split(mounted);
    let below = |mount: &PathBuf, file: &str| mount.join(cgroup.trim_start_matches('/')).join(file);
    let v2 = v2.iter().map(|mount| below(mount, "cgroup.procs"));
    v1.iter().map(|mount| below(mount, "tasks")).chain(v2).collect()
}

fn write_self(file: &PathBuf) -> io::Result<()> {
    let written = fs::OpenOptions::new().write(true).open(file).and_then(|mut file| file.write_all(b"0"));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

// Mounts of v1, and that of v2 where no controller is on v1.
fn split(mounted: Vec<Hierarchy>) -> (Vec<PathBuf>, Option<PathBuf>) {
    let whole: Vec<Hierarchy> = mounted.into_iter().filter(|hierarchy| hierarchy.whole).collect();
    let hybrid = whole.iter().any(Hierarchy::limits);
    let (v2, v1): (Vec<Hierarchy>, Vec<Hierarchy>) = whole.into_iter().partition(|hierarchy| hierarchy.v2);
    let v2 = v2.into_iter().next().filter(|_| !hybrid).map(|hierarchy| hierarchy.mount);
    (v1.into_iter().map(|hierarchy| hierarchy.mount).collect(), v2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::parse;

    const CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    const NAMED: &str = "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    const OTHER: &str = "34 31 0:29 /a /elsewhere rw - cgroup cgroup rw,cpu\n";
    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_hybrid_machine_is_joined_in_its_v1_hierarchies() {
        let found = files(parse(&[CPU, NAMED, OTHER, V2].concat()), "/cofferdam/shims");
        let expected = ["/sys/fs/cgroup/cpu/cofferdam/shims/tasks", "/sys/fs/cgroup/systemd/cofferdam/shims/tasks"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn cgroup2_is_joined_where_it_is_alone_or_beside_a_named_hierarchy() {
        let procs = PathBuf::from("/sys/fs/cgroup/unified/a/cgroup.procs");
        assert_eq!(files(parse(&[NAMED, V2].concat()), "a").last(), Some(&procs));
        assert_eq!(files(parse(V2), "/a"), [procs]);
    }

    #[test]
    fn a_child_is_born_in_cgroup2_only_where_it_has_the_controllers() {
        assert_eq!(split(parse(&[CPU, V2].concat())), (vec!["/sys/fs/cgroup/cpu".into()], None));
        assert_eq!(split(parse(&[NAMED, V2].concat())).1, Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn the_root_and_ways_up_are_refused() {
        assert!(Joining::of("/").is_err() && Joining::of("/pod/../..").is_err());
    }

    #[test]
    fn a_cgroup_that_does_not_exist_is_an_error_with_its_path() {
        let error = join("/cofferdam-test-no-such-cgroup").unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("no-such-cgroup"), "{error}");
    }
}
