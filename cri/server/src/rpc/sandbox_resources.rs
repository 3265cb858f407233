//! UpdatePodSandboxResources: kubelet calls it before it resizes the pod's cgroup; an error stops the resize.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime};

pub(super) async fn update(
    runtime: &Arc<Runtime>,
    request: cri::UpdatePodSandboxResourcesRequest,
) -> Result<cri::UpdatePodSandboxResourcesResponse, Error> {
    let pod = runtime.pod(&request.pod_sandbox_id)?;
    let sandbox = runtime.live(&pod.spec.id);
    let sandbox = sandbox.ok_or_else(|| Error::Precondition(format!("pod sandbox {} is not running", pod.spec.id)))?;
    let wanted = request.resources.unwrap_or_default();
    let (cpus, memory) = limits(&wanted);
    sandbox.resize(cpus, memory).await?;
    Ok(cri::UpdatePodSandboxResourcesResponse {})
}

/// The pod's limits, as far as a sandbox takes them: CPUs and bytes.
pub(super) fn limits(wanted: &cri::LinuxContainerResources) -> (Option<f64>, Option<u64>) {
    let cpus =
        (wanted.cpu_quota > 0 && wanted.cpu_period > 0).then(|| wanted.cpu_quota as f64 / wanted.cpu_period as f64);
    (cpus, u64::try_from(wanted.memory_limit_in_bytes).ok().filter(|m| *m > 0))
}
