//! RuntimeConfig and UpdateRuntimeConfig.

use cofferdam_cri_api::v1 as cri;
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::pod_cidrs;
use crate::runtime::Runtime;

/// kubelet takes its cgroup driver from here.
pub(super) async fn get(runtime: &Runtime, _: cri::RuntimeConfigRequest) -> Result<cri::RuntimeConfigResponse, Error> {
    let linux = cri::LinuxRuntimeConfiguration { cgroup_driver: runtime.node.settings.cgroup_driver.into() };
    Ok(cri::RuntimeConfigResponse { linux: Some(linux) })
}

/// The pod CIDRs that kubelet learned from the Node object, comma-separated.
pub(super) async fn update(
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
        let node = &runtime.node;
        node.policy.update_pod_cidrs(parsed.clone()).await?;
        if let Err(error) = node.network.set_pod_cidrs(parsed.clone()).await {
            // Rules and addresses go together: without these addresses no such rules.
            node.policy.update_pod_cidrs(node.network.pod_cidrs()).await?;
            return Err(error.into());
        }
        let saved = pod_cidrs::save(&node.settings.state, &parsed);
        saved.map_err(|e| Error::Internal(format!("keep the pod CIDRs: {e}")))?;
    }
    Ok(cri::UpdateRuntimeConfigResponse {})
}
