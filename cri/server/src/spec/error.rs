//! A field of a request that cannot be honoured.

/// The field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(crate) struct SpecError {
    /// The CRI field, as in the proto.
    pub field: String,
    /// Why it cannot be honoured, for the message.
    pub reason: String,
}

impl SpecError {
    pub fn new(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        SpecError { field: field.into(), reason: reason.to_string() }
    }
}

/// The builders of oci-spec fail only when a required field is missing.
pub(super) fn builder(error: impl std::fmt::Display) -> SpecError {
    SpecError::new("spec", error)
}
