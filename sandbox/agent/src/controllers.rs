//! cgroup2: all controllers for containers, and the agent in a leaf of its own.

use std::fs;
use std::path::Path;

use crate::error::BootError;

/// Where cgroup2 is mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
const AGENT: &str = "agent";

/// Moves the agent out of the root's cgroup and hands the controllers down.
pub(crate) fn prepare() -> Result<(), BootError> {
    let root = Path::new(ROOT);
    let leaf = root.join(AGENT);
    fs::create_dir(&leaf).map_err(BootError::at(format!("make {}", leaf.display())))?;
    fs::write(leaf.join("cgroup.procs"), "0").map_err(BootError::at(format!("join {}", leaf.display())))?;
    let controllers = fs::read_to_string(root.join("cgroup.controllers"))
        .map_err(BootError::at("read the controllers of the kernel"))?;
    let control = root.join("cgroup.subtree_control");
    fs::write(&control, hand_down(&controllers)).map_err(BootError::at(format!("write {}", control.display())))
}

fn hand_down(controllers: &str) -> String {
    controllers.split_ascii_whitespace().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_controller_is_handed_down_in_one_write() {
        assert_eq!(super::hand_down("cpuset cpu io\n"), "+cpuset +cpu +io");
    }
}
