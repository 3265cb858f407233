//! What must survive the daemon, beside the record in the store: a VM's UID and size, in a file of its pod.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cofferdam_sandbox::SandboxError;
use serde::{Deserialize, Serialize};

const FILE: &str = "vm.json";

/// Number of UIDs that the VMs of one daemon may have, from [`crate::VmConfig::first_uid`] on.
pub const UIDS: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// UID and GID of the VMM and of the booted shim.
    pub(crate) uid: u32,
    /// Guest RAM in bytes.
    pub(crate) memory: u64,
    /// Virtual CPUs.
    pub(crate) cpus: u32,
}

/// Gives out UIDs. Those in use are what the pods' directories say, so a restart or a crash forgets none.
#[derive(Debug)]
pub(crate) struct Uids {
    first: u32,
    choosing: Mutex<()>,
}

impl Uids {
    pub(crate) fn new(first: u32) -> Self {
        Uids { first, choosing: Mutex::new(()) }
    }

    /// Takes a UID for the pod of this directory, which exists, and writes its state.
    pub(crate) fn take(&self, dir: &Path, memory: u64, cpus: u32) -> Result<State, SandboxError> {
        let _one_at_a_time = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: std::io::Error| SandboxError::failed(format!("take a UID for {}", dir.display()), error);
        let pods = dir.parent().ok_or_else(|| failed(std::io::Error::other("it has no parent")))?;
        let siblings = std::fs::read_dir(pods).map_err(failed)?.flatten();
        let used: BTreeSet<u32> =
            siblings.filter_map(|entry| State::read(&entry.path()).ok()).map(|state| state.uid).collect();
        let uid = (self.first..self.first.saturating_add(UIDS))
            .find(|uid| !used.contains(uid))
            .ok_or_else(|| SandboxError::Resources("all UIDs for VMs are in use".into()))?;
        let state = State { uid, memory, cpus };
        let new = dir.join(format!("{FILE}.new"));
        std::fs::write(&new, serde_json::to_vec(&state).unwrap_or_default()).map_err(failed)?;
        std::fs::rename(&new, dir.join(FILE)).map_err(failed)?;
        Ok(state)
    }
}

impl State {
    pub(crate) fn read(dir: &Path) -> Result<State, SandboxError> {
        let path = dir.join(FILE);
        let failed = |error: String| SandboxError::failed(format!("read {}", path.display()), error);
        let json = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_have_the_same_uid_and_a_removed_pods_is_free() {
        let pods = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let dir = pods.path().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            dir
        };
        let take = |name: &str| Uids::new(1000).take(&dir(name), 1, 1).unwrap().uid;
        assert_eq!([take("a"), take("b"), take("c")], [1000, 1001, 1002]);
        std::fs::remove_dir_all(dir("b")).unwrap();
        assert_eq!((take("d"), State::read(&dir("c")).unwrap().uid), (1001, 1002));
    }
}
