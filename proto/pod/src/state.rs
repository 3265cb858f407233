//! What a shim tells of its containers: states, exits, resource use.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// State of a container in its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Set up, waiting for start.
    Created,
    /// Running.
    Running,
    /// Exited.
    Exited,
}

/// How a container ended; recorded durably by the shim before it is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerExit {
    /// Container id.
    pub container: String,
    /// Exit code; 128 + signal when killed.
    pub code: i32,
    /// The kernel's OOM killer was at work in its cgroup.
    pub oom: bool,
    /// When it ended.
    pub at: SystemTime,
}

/// What the shim knows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Container id.
    pub id: String,
    /// State.
    pub state: ContainerState,
    /// PID of its first process on the host (namespace) or in the guest (VM); 0 once it has exited.
    pub pid: u32,
    /// When it was started.
    pub started_at: Option<SystemTime>,
    /// How it ended.
    pub exit: Option<ContainerExit>,
}

/// Resource use of a container or of a whole pod, from its cgroup. Absent values are not known on this kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time used, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory in use, bytes.
    pub memory_usage: Option<u64>,
    /// Memory in use without inactive page cache, bytes.
    pub memory_working_set: Option<u64>,
    /// Anonymous memory, bytes.
    pub memory_rss: Option<u64>,
    /// Memory limit, bytes; `None` without one.
    pub memory_limit: Option<u64>,
    /// Minor page faults.
    pub page_faults: Option<u64>,
    /// Major page faults.
    pub major_page_faults: Option<u64>,
    /// Swap in use, bytes.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}
