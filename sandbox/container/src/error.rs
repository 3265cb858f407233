//! What can go wrong with a container.

use std::fmt::Display;

use cofferdam_pod_api::PodError;

/// An error of the runner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field of the spec that cannot be honoured.
    #[error("{field}: {reason}")]
    Refused {
        /// The OCI field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// A step failed.
    #[error("{step}: {reason}")]
    Failed {
        /// What was being done, with names.
        step: String,
        /// The cause.
        reason: String,
    },
    /// The command cannot be executed.
    #[error("{0}")]
    Command(String),
}

impl Error {
    pub(crate) fn refused(field: impl Into<String>, reason: impl Display) -> Self {
        Error::Refused { field: field.into(), reason: reason.to_string() }
    }

    pub(crate) fn failed(step: impl Into<String>, cause: impl Display) -> Self {
        Error::Failed { step: step.into(), reason: cause.to_string() }
    }
}

impl From<Error> for PodError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { .. } | Error::Command(_) => PodError::Invalid(error.to_string()),
            Error::Failed { .. } => PodError::Failed(error.to_string()),
        }
    }
}

/// Refuses a field if it is there.
pub(crate) fn refuse(field: &str, present: bool, reason: &str) -> Result<(), Error> {
    if present { Err(Error::refused(field, reason)) } else { Ok(()) }
}

/// Names the step that failed.
pub(crate) trait Step<T> {
    fn step(self, step: &str) -> Result<T, Error>;
    fn step_at(self, step: &str, what: impl Display) -> Result<T, Error>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, Error> {
        self.map_err(|e| Error::failed(step, e))
    }

    fn step_at(self, step: &str, what: impl Display) -> Result<T, Error> {
        self.map_err(|e| Error::failed(format!("{step} {what}"), e))
    }
}
