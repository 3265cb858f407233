//! Errors of sandboxes, of the pod protocol and of the network. One place in the server maps them to gRPC codes.

/// What can go wrong with a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Something in the spec cannot be given in this kind of sandbox; names the field.
    #[error("{field}: {reason}")]
    Unsupported {
        /// The CRI field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// The node lacks something that an admin must provide (guest image, user namespace range).
    #[error("{0}")]
    Precondition(String),
    /// More than there is, or less than the documented minimum.
    #[error("{0}")]
    Resources(String),
    /// A step failed.
    #[error("{step}: {reason}")]
    Failed {
        /// What was being done, with paths.
        step: String,
        /// The cause.
        reason: String,
    },
    /// The pod protocol failed.
    #[error(transparent)]
    Pod(#[from] PodError),
}

impl SandboxError {
    /// A failed step with its cause.
    pub fn failed(step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        SandboxError::Failed { step: step.into(), reason: cause.to_string() }
    }
}

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

/// What can go wrong with a pod's network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No free address in this CIDR.
    #[error("no free address in {0}")]
    Exhausted(String),
    /// The node's network cannot carry pods (wrong mode, missing kernel feature); says what.
    #[error("{0}")]
    Precondition(String),
    /// A step failed.
    #[error("{step}: {reason}")]
    Failed {
        /// What was being done, with names.
        step: String,
        /// The cause.
        reason: String,
    },
}

impl NetworkError {
    /// A failed step with its cause.
    pub fn failed(step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        NetworkError::Failed { step: step.into(), reason: cause.to_string() }
    }
}
