//! Version, Status, RuntimeConfig and UpdateRuntimeConfig.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::SandboxKind;
use ipnetwork::IpNetwork;

use crate::{Error, Runtime, pod_cidrs};

/// kubelet checks the first against a constant.
pub(super) fn version() -> cri::VersionResponse {
    cri::VersionResponse {
        version: "0.1.0".into(),
        runtime_name: "cofferdam".into(),
        runtime_version: env!("CARGO_PKG_VERSION").into(),
        runtime_api_version: "v1".into(),
    }
}

pub(super) fn status(runtime: &Runtime, request: &cri::StatusRequest) -> cri::StatusResponse {
    let network = runtime.parts.network.not_ready().or_else(|| runtime.parts.policy.not_ready());
    let condition = |name: &str, reason: &str, not_ready: Option<String>| cri::RuntimeCondition {
        r#type: name.into(),
        status: not_ready.is_none(),
        reason: if not_ready.is_none() { String::new() } else { reason.into() },
        message: not_ready.unwrap_or_default(),
    };
    let info = if request.verbose {
        HashMap::from([("cofferdam".into(), runtime.facts().to_string())])
    } else {
        HashMap::new()
    };
    cri::StatusResponse {
        status: Some(cri::RuntimeStatus {
            conditions: vec![
                condition("RuntimeReady", "", None),
                condition("NetworkReady", "NetworkNotReady", network),
            ],
        }),
        info,
        runtime_handlers: handlers(runtime),
        features: Some(cri::RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
            mount_options: false,
        }),
    }
}

/// The default handler, and every kind of sandbox that this node can make now.
fn handlers(runtime: &Runtime) -> Vec<cri::RuntimeHandler> {
    let handler = |name: &str, namespaces: bool| cri::RuntimeHandler {
        name: name.into(),
        features: Some(cri::RuntimeHandlerFeatures {
            recursive_read_only_mounts: namespaces,
            user_namespaces: namespaces,
        }),
    };
    let mut handlers = vec![handler("", true)];
    for factory in runtime.parts.factories.iter().filter(|f| f.unavailable().is_none()) {
        match factory.kind() {
            SandboxKind::Namespace => handlers.push(handler("namespace", true)),
            SandboxKind::Vm => handlers.push(handler("vm", false)),
        }
    }
    handlers
}

pub(super) fn config(runtime: &Runtime) -> cri::RuntimeConfigResponse {
    let linux = cri::LinuxRuntimeConfiguration { cgroup_driver: runtime.settings.cgroup_driver.into() };
    cri::RuntimeConfigResponse { linux: Some(linux) }
}

/// The pod CIDRs that kubelet learned from the Node object, comma-separated.
pub(super) async fn update_config(
    runtime: &Runtime,
    request: cri::UpdateRuntimeConfigRequest,
) -> Result<cri::UpdateRuntimeConfigResponse, Error> {
    let cidrs = request.runtime_config.and_then(|c| c.network_config).map(|n| n.pod_cidr).unwrap_or_default();
    let parsed: Result<Vec<IpNetwork>, Error> = cidrs
        .split(',')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(|c| c.parse().map_err(|e| Error::Invalid(format!("runtime_config.network_config.pod_cidr: {c:?}: {e}"))))
        .collect();
    let parsed = parsed?;
    if !parsed.is_empty() {
        runtime.parts.policy.update_pod_cidrs(parsed.clone()).await?;
        runtime.parts.network.set_pod_cidrs(parsed.clone()).await?;
        let kept = pod_cidrs::save(&runtime.settings.state, &parsed);
        kept.map_err(|e| Error::Internal(format!("keep the pod CIDRs: {e}")))?;
    }
    Ok(cri::UpdateRuntimeConfigResponse {})
}
