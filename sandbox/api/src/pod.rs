//! The pod protocol's client, as the server uses it. The wire form is `proto/pod`.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{ContainerSpec, ExecSpec, PodError};

/// A reader or writer of bytes.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// See [`Reader`].
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

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
    /// When.
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

/// What the shim announces by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodEvent {
    /// A container ended.
    Exited(ContainerExit),
    /// The shim, or the VM behind it, is gone. Always the last event.
    Gone(String),
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

/// Streams of an attach or an exec. Dropping `stdin` closes it (half-close).
pub struct Streams {
    /// To the process; `None` when not asked for.
    pub stdin: Option<Writer>,
    /// From the process; with a terminal the only output.
    pub stdout: Option<Reader>,
    /// From the process.
    pub stderr: Option<Reader>,
    /// New terminal sizes (columns, rows).
    pub resize: mpsc::Sender<(u16, u16)>,
    /// The exit code, after all output was delivered. For an attach: of the container.
    pub exit: oneshot::Receiver<Result<i32, PodError>>,
    /// Kills the process group of an exec with SIGKILL. Dropping it does not.
    pub kill: Option<oneshot::Sender<()>>,
}

/// Both directions of a connection to a port inside the pod.
pub struct ByteStreams {
    /// From the port.
    pub read: Reader,
    /// To the port; dropping it half-closes.
    pub write: Writer,
}

/// One live sandbox, reached through its shim.
#[async_trait]
pub trait PodClient: Send + Sync {
    /// Sets a container up to just before execve. The log is already open for appending.
    async fn create(&self, spec: &ContainerSpec, log: Option<OwnedFd>) -> Result<ContainerStatus, PodError>;

    /// Lets it run.
    async fn start(&self, container: &str) -> Result<ContainerStatus, PodError>;

    /// Sends a signal to the first process, or (`all`) to every process of the container's cgroup.
    /// A container that has exited is a success.
    async fn signal(&self, container: &str, signal: i32, all: bool) -> Result<(), PodError>;

    /// Kills what is left of an exited (or never started) container and forgets it. Unknown ids are a success.
    async fn delete(&self, container: &str) -> Result<(), PodError>;

    /// Applies limits in place and answers those read back from the kernel.
    async fn update(&self, container: &str, resources: &LinuxResources) -> Result<LinuxResources, PodError>;

    /// All containers that the shim knows, exits included: what recovery needs.
    async fn list(&self) -> Result<Vec<ContainerStatus>, PodError>;

    /// Resource use of one container.
    async fn stats(&self, container: &str) -> Result<Stats, PodError>;

    /// Continues the log in another file; nothing is lost between the two.
    async fn reopen_log(&self, container: &str, log: OwnedFd) -> Result<(), PodError>;

    /// Runs one more process. Ends only when the process has.
    async fn exec(&self, spec: &ExecSpec, stdout: bool, stderr: bool) -> Result<Streams, PodError>;

    /// Connects to the streams of the container's first process.
    async fn attach(&self, container: &str, stdin: bool, stdout: bool, stderr: bool) -> Result<Streams, PodError>;

    /// Connects to a TCP port on the pod's localhost.
    async fn dial(&self, port: u16) -> Result<ByteStreams, PodError>;

    /// Events from now on. Exits that happened before are in `list`.
    fn events(&self) -> broadcast::Receiver<PodEvent>;
}
