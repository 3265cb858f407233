//! Errors of sandboxes and of the network. One place in the server maps them, and those of the pod protocol, to gRPC
//! codes.

use cofferdam_pod_api::PodError;

/// Why a step failed: an error, or what there is to say.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
    #[error("{step}: {cause}")]
    Failed {
        /// What was being done, with paths.
        step: String,
        /// The cause, as it was.
        #[source]
        cause: Cause,
    },
    /// The pod protocol failed.
    #[error(transparent)]
    Pod(#[from] PodError),
}

impl SandboxError {
    /// A failed step with its cause.
    pub fn failed(step: impl Into<String>, cause: impl Into<Cause>) -> Self {
        SandboxError::Failed { step: step.into(), cause: cause.into() }
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
    #[error("{step}: {cause}")]
    Failed {
        /// What was being done, with names.
        step: String,
        /// The cause, as it was.
        #[source]
        cause: Cause,
    },
}

impl NetworkError {
    /// A failed step with its cause.
    pub fn failed(step: impl Into<String>, cause: impl Into<Cause>) -> Self {
        NetworkError::Failed { step: step.into(), cause: cause.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use super::*;

    #[test]
    fn a_failed_step_keeps_its_cause() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let errors: [Box<dyn Error>; 2] =
            [Box::new(SandboxError::failed("make /x", full())), Box::new(NetworkError::failed("make eth0", full()))];
        for error in errors {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).unwrap();
            assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
            assert!(error.to_string().ends_with(&cause.to_string()), "{error}");
        }
        assert_eq!(SandboxError::failed("find it", "there is none").to_string(), "find it: there is none");
    }
}
