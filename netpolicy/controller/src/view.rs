//! What requests read: the state after the worker's last turn. Nobody who reads it waits for a compilation or the
//! kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use cofferdam_netpolicy::ir::Ruleset;
use cofferdam_netpolicy::{LocalPod, NodeConfig};

/// The state after a turn of the worker.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) node: NodeConfig,
    pub(crate) pods: Arc<BTreeMap<String, LocalPod>>,
    pub(crate) restored: bool,
    /// Why nothing of the last turn is in force.
    pub(crate) failed: Option<String>,
    /// Tenants whose own objects are not in force, and why.
    pub(crate) refused: BTreeMap<String, String>,
    /// Policies that are over the limit of size.
    pub(crate) oversized: Arc<Vec<String>>,
    /// The rules that were written last.
    pub(crate) rules: Arc<Ruleset>,
}

impl View {
    /// What does not work, for `status`.
    pub(crate) fn degraded(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|(tenant, error)| {
            format!("tenant {tenant}: its new policies or pods are not in force, the ones before are: {error}")
        });
        let unread = self.pods.values().filter(|pod| pod.labels.is_none()).map(|pod| {
            format!(
                "pod {}/{}: what was stored of it cannot be read, so its labels are unknown; until a Pod object tells \
                 them, all it sends and gets drops",
                pod.namespace, pod.name
            )
        });
        self.oversized.iter().cloned().chain(refused).chain(unread).collect()
    }
}
