//! Why the guest cannot come up.

/// The step that failed, and its cause.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(crate) struct BootError {
    step: String,
    source: std::io::Error,
}

impl BootError {
    /// Names the step.
    pub(crate) fn at(step: impl Into<String>) -> impl FnOnce(std::io::Error) -> BootError {
        let step = step.into();
        move |source| BootError { step, source }
    }
}
