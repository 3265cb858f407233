//! Why a flow is allowed or denied.

use serde::{Deserialize, Serialize};

/// Whether a flow passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The flow passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// What one direction decides, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What it decides.
    pub verdict: Verdict,
    /// The deciding rule, or what is missing.
    pub rule: String,
}

/// Why a new flow is allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `Allow` only if both directions allow.
    pub verdict: Verdict,
    /// The source's side.
    pub egress: Decision,
    /// The destination's side.
    pub ingress: Decision,
}
