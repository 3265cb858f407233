//! Why a VM could not be started.

/// Why a VM could not be started.
#[derive(Debug, thiserror::Error)]
pub enum VmmError {
    /// The daemon asked for something that cannot be.
    #[error("boot request: {0}")]
    Request(String),
    /// A step failed.
    #[error("{step}: {reason}")]
    Failed {
        /// What was being done.
        step: String,
        /// The cause.
        reason: String,
    },
}

impl VmmError {
    pub(crate) fn failed(step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        VmmError::Failed { step: step.into(), reason: cause.to_string() }
    }
}

/// Names what was being done.
pub(crate) trait Step<T> {
    fn step(self, what: &str) -> Result<T, VmmError>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, what: &str) -> Result<T, VmmError> {
        self.map_err(|error| VmmError::failed(what, error))
    }
}
