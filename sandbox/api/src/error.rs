//! Errors of sandboxes and of the network. One place in the server maps them, and those of the pod protocol, to gRPC
//! codes.

use cofferdam_pod_api::PodError;

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
