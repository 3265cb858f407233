//! What this node can run, and what is degraded.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::SandboxKind;
use cofferdam_store::SandboxEntry;
use serde_json::{Value, json};

use crate::node::Node;
use crate::spec::refuse;

/// For `crictl info` and for the admin service.
pub(crate) fn details(node: &Node, pods: &[Arc<SandboxEntry>]) -> Value {
    let handlers: Vec<Value> = node
        .factories
        .iter()
        .map(|f| json!({ "handler": f.kind().as_str(), "unavailable": f.unavailable() }))
        .collect();
    let count = |kind| pods.iter().filter(|s| !s.released() && s.spec.kind == kind).count();
    let degraded = [node.policy.degraded(), refuse::lacks()].concat();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "bootId": node.settings.boot_id,
        "handlers": handlers,
        "network": node.network.not_ready(),
        "podCidrs": node.network.pod_cidrs().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy": node.policy.not_ready(),
        "degraded": degraded,
        "sandboxes": { "namespace": count(SandboxKind::Namespace), "vm": count(SandboxKind::Vm) },
    })
}

/// Whether the runtime and the network are ready.
pub(crate) fn conditions(node: &Node) -> Vec<cri::RuntimeCondition> {
    let network = node.network.not_ready().or_else(|| node.policy.not_ready());
    let condition = |name: &str, reason: &str, not_ready: Option<String>| cri::RuntimeCondition {
        r#type: name.into(),
        status: not_ready.is_none(),
        reason: if not_ready.is_none() { String::new() } else { reason.into() },
        message: not_ready.unwrap_or_default(),
    };
    vec![condition("RuntimeReady", "", None), condition("NetworkReady", "NetworkNotReady", network)]
}

/// The default handler, and every kind of sandbox that this node can make now.
pub(crate) fn handlers(node: &Node) -> Vec<cri::RuntimeHandler> {
    let handler = |name: &str, namespaces: bool| cri::RuntimeHandler {
        name: name.into(),
        features: Some(cri::RuntimeHandlerFeatures {
            recursive_read_only_mounts: namespaces,
            user_namespaces: namespaces,
        }),
    };
    let mut handlers = vec![handler("", true)];
    for factory in node.factories.iter().filter(|f| f.unavailable().is_none()) {
        match factory.kind() {
            SandboxKind::Namespace => handlers.push(handler("namespace", true)),
            SandboxKind::Vm => handlers.push(handler("vm", false)),
        }
    }
    handlers
}
