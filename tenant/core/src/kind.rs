//! The two kinds of sandbox.

use serde::{Deserialize, Serialize};

/// What a pod runs in. `vm` isolates more than `namespace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
// The order of the variants is that of isolation, so that a kind can be compared with a tenant's floor.
pub enum SandboxKind {
    /// Linux namespaces on the node's kernel.
    #[default]
    Namespace,
    /// A micro-VM with a kernel of its own.
    Vm,
}

impl SandboxKind {
    /// The name, as in a Tenant and as runtime handler.
    pub fn as_str(self) -> &'static str {
        match self {
            SandboxKind::Namespace => "namespace",
            SandboxKind::Vm => "vm",
        }
    }
}

impl std::fmt::Display for SandboxKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
