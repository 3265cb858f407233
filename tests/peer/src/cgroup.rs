//! The values of a container's cgroups, as the host has them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Files of all controllers and both versions; those that a kernel does not have are left out.
const FILES: &[&str] = &[
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.swappiness",
    "memory.oom_control",
    "memory.use_hierarchy",
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.oom.group",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.weight",
    "cpu.max",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "blkio.weight",
    "devices.list",
    "net_cls.classid",
    "hugetlb.2MB.limit_in_bytes",
    "hugetlb.2MB.max",
    "cgroup.max.depth",
    "notify_on_release",
];

/// The values of all cgroups that a process is in, by file; and how its place is named below the pod's cgroup `parent`.
pub fn cgroup_values(pid: u32, parent: &str) -> Result<Value> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).with_context(|| format!("process {pid}"))?;
    let mut values = json!({});
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let name = if controllers.is_empty() { "unified" } else { controllers };
        let place = path.strip_prefix(parent).map_or_else(|| "outside the pod's cgroup".to_owned(), depth);
        values[name] = json!({"place": place});
        let Some(dir) = mounted(controllers)?.map(|at| at.join(path.trim_start_matches('/'))) else { continue };
        for file in FILES {
            if let Ok(value) = fs::read_to_string(dir.join(file)) {
                values[name][*file] = json!(sorted(file, value.trim()));
            }
        }
    }
    Ok(values)
}

/// How many directories below the pod's cgroup.
fn depth(rest: &str) -> String {
    format!("{} below the pod's cgroup", rest.split('/').filter(|part| !part.is_empty()).count())
}

/// The kernel lists devices in the order in which they were allowed, which changes nothing.
fn sorted(file: &str, value: &str) -> String {
    if file != "devices.list" {
        return value.to_owned();
    }
    let mut lines: Vec<&str> = value.lines().collect();
    lines.sort_unstable();
    lines.join(", ")
}

fn mounted(controllers: &str) -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let of_line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let right: Vec<&str> = right.split(' ').collect();
        let wanted = if controllers.is_empty() {
            right.first() == Some(&"cgroup2")
        } else {
            right.first() == Some(&"cgroup")
                && controllers
                    .split(',')
                    .all(|one| right.get(2).is_some_and(|o| o.split(',').any(|option| option == one)))
        };
        wanted.then(|| Path::new(left.split(' ').nth(4).unwrap_or_default()).to_owned())
    };
    Ok(mounts.lines().find_map(of_line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_sorted_and_other_values_stay() {
        assert_eq!(sorted("devices.list", "c 1:5 rwm\nc 1:3 rwm"), "c 1:3 rwm, c 1:5 rwm");
        assert_eq!(sorted("memory.oom_control", "b 1\na 0"), "b 1\na 0");
    }

    #[test]
    fn depth_counts_directories() {
        assert_eq!(depth("/a/b"), "2 below the pod's cgroup");
        assert_eq!(depth(""), "0 below the pod's cgroup");
    }
}
