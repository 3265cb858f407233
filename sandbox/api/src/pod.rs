//! The pod protocol's client, as the server uses it. The wire form is `proto/pod`.

use std::os::fd::OwnedFd;

use async_trait::async_trait;
use cofferdam_pod_api::{ContainerExit, ContainerSpec, ContainerStatus, ExecSpec, PodError, Stats};
use oci_spec::runtime::LinuxResources;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};

/// A reader or writer of bytes.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// See [`Reader`].
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What the shim announces by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodEvent {
    /// A container ended.
    Exited(ContainerExit),
    /// The shim, or the VM behind it, is gone. Always the last event.
    Gone(String),
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
