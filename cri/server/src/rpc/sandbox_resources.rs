//! UpdatePodSandboxResources: kubelet calls it before it resizes the pod's cgroup; an error stops the resize.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;
use crate::spec::resources::pod_limits;

/// Only a sandbox that runs has something to resize.
pub(super) async fn update(
    runtime: &Runtime,
    request: cri::UpdatePodSandboxResourcesRequest,
) -> Result<cri::UpdatePodSandboxResourcesResponse, Error> {
    let pod = runtime.pods.find(&request.pod_sandbox_id)?;
    let sandbox = runtime.pods.live(&pod.spec.id);
    let sandbox = sandbox.ok_or_else(|| Error::Precondition(format!("pod sandbox {} is not running", pod.spec.id)))?;
    let (cpus, memory) = pod_limits(&request.resources.unwrap_or_default());
    sandbox.resize(cpus, memory).await?;
    Ok(cri::UpdatePodSandboxResourcesResponse {})
}
