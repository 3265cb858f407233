//! Joining a cgroup: by itself on v1 (`0` to `tasks`), at birth on v2. A pid written to `cgroup.procs` would wait for
//! an RCU grace period.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};

/// How a process gets into its cgroup.
pub(crate) enum Joining {
    /// `tasks` of each hierarchy, to be opened and written by the child.
    Tasks(Vec<PathBuf>),
    /// Directory for clone3.
    Into(OwnedFd),
}

/// Finds out how for a cgroup of this path, which exists.
pub(crate) fn joining(path: &str) -> io::Result<Joining> {
    let path = path.trim_matches('/');
    if path.is_empty() || path.split('/').any(|part| part == "..") {
        return Err(io::Error::other(format!("{path:?} is not the path of a cgroup of a pod")));
    }
    let (v1, v2) = parse(&fs::read_to_string("/proc/self/mountinfo")?);
    match v2 {
        Some(mount) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(Joining::Into(open(mount.join(path), flags, Mode::empty())?))
        }
        None => Ok(Joining::Tasks(v1.iter().map(|mount| mount.join(path).join("tasks")).collect())),
    }
}

// Mounts of v1, or that of v2 where no controller is on v1.
fn parse(mountinfo: &str) -> (Vec<PathBuf>, Option<PathBuf>) {
    let (mut v1, mut v2, mut controllers) = (Vec::new(), None, false);
    for line in mountinfo.lines() {
        let Some((head, tail)) = line.split_once(" - ") else { continue };
        let mut head = head.split(' ').skip(3);
        let (Some("/"), Some(point)) = (head.next(), head.next()) else { continue };
        let mut tail = tail.split(' ');
        match (tail.next(), tail.nth(1)) {
            (Some("cgroup2"), _) => v2 = v2.or(Some(PathBuf::from(point))),
            (Some("cgroup"), options) => {
                controllers |=
                    !options.is_some_and(|options| options.split(',').any(|option| option.starts_with("name=")));
                v1.push(PathBuf::from(point));
            }
            _ => {}
        }
    }
    (v1, v2.filter(|_| !controllers))
}

impl Joining {
    /// In the child.
    pub(crate) fn join(&self) -> io::Result<()> {
        if let Joining::Tasks(files) = self {
            for file in files {
                fs::write(file, "0")
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    const NAMED: &str = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_2_counts_only_where_it_has_the_controllers() {
        assert_eq!(parse(&format!("{V1}{V2}")), (vec!["/sys/fs/cgroup/cpu".into()], None));
        assert_eq!(parse(&format!("{NAMED}{V2}")).1, Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn the_root_and_ways_up_are_refused() {
        assert!(joining("/").is_err() && joining("/pod/../..").is_err());
    }
}
