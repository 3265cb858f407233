//! Seccomp profiles, of pods and containers.

use serde::{Deserialize, Serialize};

/// A seccomp profile.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Seccomp {
    pub r#type: SeccompType,
    pub localhost_profile: Option<String>,
}

/// Kinds of profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum SeccompType {
    RuntimeDefault,
    Unconfined,
    Localhost,
}
