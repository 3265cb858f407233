//! The shim's own cgroup: one of Cofferdam's, never below a pod's, where kubelet's limits and its killing would reach
//! it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Joins a cgroup in every v1 hierarchy, or in cgroup2 where it is alone.
pub fn join(cgroup: &str) -> io::Result<()> {
    for file in files(&fs::read_to_string("/proc/self/mountinfo")?, cgroup) {
        let written = fs::OpenOptions::new().write(true).open(&file).and_then(|mut file| file.write_all(b"0"));
        written.map_err(|error| io::Error::new(error.kind(), format!("join {}: {error}", file.display())))?;
    }
    Ok(())
}

/// The files to write `0` to. On v1 that is `tasks`: a write to `cgroup.procs` waits for an RCU grace period. On a
/// hybrid machine the daemon's place in cgroup2, which limits nothing there, is good enough.
fn files(mountinfo: &str, cgroup: &str) -> Vec<PathBuf> {
    let below = |point: &str| Path::new(point).join(cgroup.trim_start_matches('/'));
    let (mut v1, mut v2) = (Vec::new(), None);
    let mut controllers = false;
    for line in mountinfo.lines() {
        let Some((head, tail)) = line.split_once(" - ") else { continue };
        let mut head = head.split(' ').skip(3);
        let (Some("/"), Some(point)) = (head.next(), head.next()) else { continue };
        let mut tail = tail.split(' ');
        match tail.next() {
            Some("cgroup") => {
                controllers |= !tail.nth(1).is_some_and(|options| options.split(',').any(|o| o.starts_with("name=")));
                v1.push(below(point).join("tasks"));
            }
            Some("cgroup2") => v2 = v2.or(Some(below(point).join("cgroup.procs"))),
            _ => {}
        }
    }
    v1.extend(v2.filter(|_| !controllers));
    v1
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    const NAMED: &str = "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    const OTHER: &str = "34 31 0:29 /a /elsewhere rw - cgroup cgroup rw,cpu\n";
    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_hybrid_machine_is_joined_in_its_v1_hierarchies() {
        let found = files(&[CPU, NAMED, OTHER, V2].concat(), "/cofferdam/shims");
        let expected = ["/sys/fs/cgroup/cpu/cofferdam/shims/tasks", "/sys/fs/cgroup/systemd/cofferdam/shims/tasks"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn cgroup2_is_joined_where_it_is_alone_or_beside_a_named_hierarchy() {
        let procs = PathBuf::from("/sys/fs/cgroup/unified/a/cgroup.procs");
        assert_eq!(files(&[NAMED, V2].concat(), "a").last(), Some(&procs));
        assert_eq!(files(V2, "/a"), [procs]);
    }

    #[test]
    fn a_cgroup_that_does_not_exist_is_an_error_with_its_path() {
        let error = join("/cofferdam-test-no-such-cgroup").unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("no-such-cgroup"), "{error}");
    }
}
