//! What the admin service shows: facts of the runtime, pods and tenants.

use std::sync::Arc;

use cofferdam_sandbox::SandboxKind;
use serde_json::{Value, json};

use crate::runtime::Runtime;
use crate::{convert, rpc};

impl Runtime {
    /// The visible pods, newest first (DESIGN 4).
    pub fn pods_view(&self) -> Vec<Value> {
        let mut pods: Vec<_> =
            self.parts.store.sandboxes.list().into_iter().filter(|s| convert::pod_visible(s)).collect();
        pods.sort_by_key(|s| std::cmp::Reverse(s.created_at));
        pods.iter().map(|s| rpc::pod_facts(s)).collect()
    }

    /// What is degraded, and what this node can run.
    pub(crate) fn facts(&self) -> Value {
        let handlers: Vec<Value> = self
            .parts
            .factories
            .iter()
            .map(|f| json!({ "handler": f.kind().as_str(), "unavailable": f.unavailable() }))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "bootId": self.settings.boot_id,
            "handlers": handlers,
            "network": self.parts.network.not_ready(),
            "podCidrs": self.parts.network.pod_cidrs().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "policy": self.parts.policy.not_ready(),
            "degraded": self.parts.policy.degraded(),
            "sandboxes": self.count_sandboxes(),
        })
    }

    /// For the admin service.
    pub fn status_view(self: &Arc<Self>) -> Value {
        self.facts()
    }

    fn count_sandboxes(&self) -> Value {
        let pods = self.parts.store.sandboxes.list();
        let of = |kind| pods.iter().filter(|s| !s.released && s.spec.kind == kind).count();
        json!({ "namespace": of(SandboxKind::Namespace), "vm": of(SandboxKind::Vm) })
    }

    /// Whether any sandbox still holds something in the kernel.
    pub fn has_sandboxes(&self) -> bool {
        self.parts.store.sandboxes.list().iter().any(|s| !s.released)
    }
}
