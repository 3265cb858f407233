//! The seam to whoever runs the processes.

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// Bytes from the client.
pub type StreamReader = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to the client.
pub type StreamWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// A command to run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// The container.
    pub container_id: String,
    /// The command and its arguments.
    pub cmd: Vec<String>,
    /// It gets a terminal.
    pub tty: bool,
    /// The client sends stdin.
    pub stdin: bool,
    /// The client wants stdout.
    pub stdout: bool,
    /// The client wants stderr.
    pub stderr: bool,
}

/// The streams of a container's first process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachRequest {
    /// The container.
    pub container_id: String,
    /// It has a terminal.
    pub tty: bool,
    /// The client sends stdin.
    pub stdin: bool,
    /// The client wants stdout.
    pub stdout: bool,
    /// The client wants stderr.
    pub stderr: bool,
}

/// Connections to ports of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortForwardRequest {
    /// The pod sandbox.
    pub sandbox_id: String,
    /// The ports that may be asked for; none: all.
    pub ports: Vec<u16>,
}

/// A terminal's size, as clients send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

/// The client's ends of an exec or attach: those that the request asks for.
pub struct StreamIo {
    /// What the client types; its end is the client's half-close.
    pub stdin: Option<StreamReader>,
    /// To be shut down or dropped when the output ends.
    pub stdout: Option<StreamWriter>,
    /// Likewise. Never with a terminal.
    pub stderr: Option<StreamWriter>,
    /// Sizes of the client's terminal; ended from the start without one.
    pub resize: mpsc::Receiver<TerminalSize>,
}

/// The client's end of one forwarded connection.
pub struct PortDuplex {
    /// From the client.
    pub read: StreamReader,
    /// To the client.
    pub write: StreamWriter,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// 0, or what the client is told as `NonZeroExitCode`.
    pub code: i32,
}

/// Why a stream could not be served; the client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(String);

impl StreamError {
    /// An error with its message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Runs commands and dials ports. A call whose client goes away is dropped at its next await.
#[async_trait]
pub trait StreamBackend: Send + Sync + 'static {
    /// Runs a command to its end; everything it has written must be in `io` by then.
    ///
    /// # Errors
    /// When it could not be run.
    async fn exec(&self, request: ExecRequest, io: StreamIo) -> Result<ExitStatus, StreamError>;

    /// Stays attached to a container until it ends.
    ///
    /// # Errors
    /// When it cannot be attached to.
    async fn attach(&self, request: AttachRequest, io: StreamIo) -> Result<ExitStatus, StreamError>;

    /// Carries one connection to a port of the pod.
    ///
    /// # Errors
    /// When nothing listens there, or the connection broke.
    async fn port_forward(&self, sandbox_id: &str, port: u16, duplex: PortDuplex) -> Result<(), StreamError>;
}
