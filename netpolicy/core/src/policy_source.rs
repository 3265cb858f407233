//! The seam between the policy engine and the sources of cluster objects.

use std::sync::Arc;

use tokio::sync::watch;

use crate::snapshot::PolicySnapshot;

/// A source of facts and policies.
pub trait PolicySource: Send + Sync {
    /// Snapshots, the newest only. The value before the first is blocked.
    fn snapshots(&self) -> watch::Receiver<Arc<PolicySnapshot>>;
}
