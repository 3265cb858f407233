//! The one place that maps errors to gRPC codes.

use cofferdam_netpolicy::PolicyError;
use cofferdam_sandbox::{NetworkError, PodError, SandboxError};
use cofferdam_store::StoreError;
use cofferdam_streaming::{StreamError, UrlError};
use cofferdam_tenant::{Refusal, ResolveError};
use tonic::{Code, Status};

use crate::images::ImagesError;
use crate::spec::SpecError;

/// What an RPC can answer instead of success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field is wrong or cannot be honoured; names it.
    #[error("{0}")]
    Invalid(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// An object of that name exists and is not what a retry would find.
    #[error("{0}")]
    AlreadyExists(String),
    /// The node or the object is not in the state that the request needs.
    #[error("{0}")]
    Precondition(String),
    /// The tenant may not have this.
    #[error("{0}")]
    Denied(String),
    /// Something has run out.
    #[error("{0}")]
    Exhausted(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// The caller's own timeout has passed.
    #[error("{0}")]
    Deadline(String),
    /// A later release has it.
    #[error("{0}")]
    Unimplemented(String),
    /// kubelet recognises these by the beginning of their message.
    #[error("{0}")]
    Unknown(String),
    /// A step failed.
    #[error("{0}")]
    Internal(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(_) => Code::InvalidArgument,
            Error::NotFound(_) => Code::NotFound,
            Error::AlreadyExists(_) => Code::AlreadyExists,
            Error::Precondition(_) => Code::FailedPrecondition,
            Error::Denied(_) => Code::PermissionDenied,
            Error::Exhausted(_) => Code::ResourceExhausted,
            Error::Unavailable(_) => Code::Unavailable,
            Error::Deadline(_) => Code::DeadlineExceeded,
            Error::Unimplemented(_) => Code::Unimplemented,
            Error::Unknown(_) => Code::Unknown,
            Error::Internal(_) => Code::Internal,
        };
        Status::new(code, error.to_string())
    }
}

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        Error::Invalid(error.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Write(_) => Error::Exhausted(error.to_string()),
            StoreError::Closed => Error::Unavailable(error.to_string()),
            other => Error::Internal(other.to_string()),
        }
    }
}

impl From<PodError> for Error {
    fn from(error: PodError) -> Self {
        match &error {
            PodError::Gone(_) => Error::Unavailable(error.to_string()),
            PodError::NotFound(what) => Error::NotFound(what.clone()),
            PodError::State(what) => Error::Precondition(what.clone()),
            PodError::Invalid(what) => Error::Invalid(what.clone()),
            PodError::Protocol(_) | PodError::Failed(_) => Error::Internal(error.to_string()),
        }
    }
}

impl From<SandboxError> for Error {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Unsupported { .. } => Error::Invalid(error.to_string()),
            SandboxError::Precondition(what) => Error::Precondition(what),
            SandboxError::Resources(what) => Error::Exhausted(what),
            SandboxError::Failed { .. } => Error::Internal(error.to_string()),
            SandboxError::Pod(pod) => pod.into(),
        }
    }
}

impl From<NetworkError> for Error {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Exhausted(_) => Error::Exhausted(error.to_string()),
            NetworkError::Precondition(what) => Error::Precondition(what),
            NetworkError::Failed { .. } => Error::Internal(error.to_string()),
        }
    }
}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Blocked(_) | PolicyError::Stopped => Error::Unavailable(error.to_string()),
            PolicyError::Unknown(what) => Error::NotFound(what),
            PolicyError::Backend(_) => Error::Internal(error.to_string()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownHandler(_) => Error::Invalid(refusal.to_string()),
            Refusal::Floor { .. } | Refusal::HostAccess { .. } | Refusal::Capability { .. } => {
                Error::Denied(refusal.to_string())
            }
        }
    }
}

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Unavailable(what) => Error::Unavailable(what),
            ResolveError::Precondition(what) => Error::Precondition(what),
        }
    }
}

impl From<ImagesError> for Error {
    fn from(error: ImagesError) -> Self {
        match error {
            ImagesError::NotFound(text) => Error::NotFound(text),
            ImagesError::Invalid(text) => Error::Invalid(text),
            // kubelet recognises this beginning.
            ImagesError::Unavailable(text) => Error::Unknown(format!("RegistryUnavailable: {text}")),
            ImagesError::Denied(text) => Error::Denied(text),
            ImagesError::Exhausted(text) => Error::Exhausted(text),
            ImagesError::Failed(text) => Error::Internal(text),
        }
    }
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        StreamError::new(error.to_string())
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::TooMany => Error::Exhausted(error.to_string()),
            UrlError::Random(_) => Error::Internal(error.to_string()),
        }
    }
}
