//! Why an operation on a pod failed, and how that is sent.

use crate::{Error, ErrorKind};

/// What can go wrong when talking to a shim or an agent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PodError {
    /// The shim (or what it supervises) is gone: the sandbox is dead.
    #[error("the sandbox is gone: {0}")]
    Gone(String),
    /// The peer does not know this container or exec.
    #[error("{0}")]
    NotFound(String),
    /// The request is not possible in the present state (start of a started container, exec in a stopped one).
    #[error("{0}")]
    State(String),
    /// The request itself is wrong (a field that cannot be honoured; a command that does not exist).
    #[error("{0}")]
    Invalid(String),
    /// The peer said something that the protocol does not allow.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The peer failed while doing it.
    #[error("{0}")]
    Failed(String),
}

/// An error as it is sent.
pub fn error_to(error: &PodError) -> Error {
    let (kind, message) = match error {
        PodError::Failed(message) => (ErrorKind::Failed, message),
        PodError::Gone(message) => (ErrorKind::Gone, message),
        PodError::NotFound(message) => (ErrorKind::NotFound, message),
        PodError::State(message) => (ErrorKind::State, message),
        PodError::Invalid(message) => (ErrorKind::Invalid, message),
        PodError::Protocol(message) => (ErrorKind::Protocol, message),
    };
    Error { kind: kind.into(), message: message.clone() }
}

/// An error as it came; a kind of a later version is a plain failure.
pub fn error_from(error: Error) -> PodError {
    match error.kind() {
        ErrorKind::Failed => PodError::Failed(error.message),
        ErrorKind::Gone => PodError::Gone(error.message),
        ErrorKind::NotFound => PodError::NotFound(error.message),
        ErrorKind::State => PodError::State(error.message),
        ErrorKind::Invalid => PodError::Invalid(error.message),
        ErrorKind::Protocol => PodError::Protocol(error.message),
    }
}
