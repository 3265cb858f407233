//! The hierarchies of a machine, as its mounts show them.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// All of it is mounted there, not only what lies below one of its cgroups.
    pub whole: bool,
    /// cgroup2.
    pub v2: bool,
    /// v1: its controllers, or `name=...`; empty on v2.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// It has controllers of v1, and not only a name.
    pub fn limits(&self) -> bool {
        !self.v2 && !self.controllers.iter().any(|controller| controller.starts_with("name="))
    }
}

/// All that are mounted for this process.
///
/// # Errors
/// mountinfo cannot be read.
pub fn mounted() -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// Options of the superblock that are no controllers.
const FLAGS: [&str; 5] = ["rw", "ro", "xattr", "clone_children", "noprefix"];

pub(crate) fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(3);
        let (root, mount) = (head.next()?, PathBuf::from(head.next()?));
        let mut tail = tail.split(' ');
        let v2 = match tail.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = tail.nth(1).filter(|_| !v2).unwrap_or_default().split(',');
        let is_controller =
            |option: &&str| !option.is_empty() && !FLAGS.contains(option) && !option.starts_with("release_agent=");
        let controllers = options.filter(is_controller).map(str::to_owned).collect();
        Some(Hierarchy { mount, whole: root == "/", v2, controllers })
    };
    mountinfo.lines().filter_map(hierarchy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_with_their_controllers() {
        let mountinfo = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                         33 31 0:30 /a /elsewhere rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
                         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
                         23 1 0:2 / /proc rw - proc proc rw\n";
        let found = parse(mountinfo);
        let shown: Vec<_> = found.iter().map(|h| (h.mount.to_str().unwrap(), h.whole, h.v2, h.limits())).collect();
        assert_eq!(
            shown,
            [
                ("/sys/fs/cgroup/cpu", true, false, true),
                ("/elsewhere", false, false, false),
                ("/sys/fs/cgroup/unified", true, true, false)
            ]
        );
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[1].controllers, ["name=systemd"]);
    }
}
