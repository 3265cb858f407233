//! CreateContainer.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::SandboxPhase;

use crate::error::Error;
use crate::runtime::Runtime;

/// The sandbox has to be ready; the name is what a retry is recognised by.
pub(super) async fn create(
    runtime: &Runtime,
    request: cri::CreateContainerRequest,
) -> Result<cri::CreateContainerResponse, Error> {
    let config = request.config.ok_or_else(|| Error::Invalid("config: is missing".into()))?;
    if config.metadata.as_ref().is_none_or(|m| m.name.is_empty()) {
        return Err(Error::Invalid("config.metadata.name: is empty".into()));
    }
    let pod = runtime.pods.find(&request.pod_sandbox_id)?;
    if pod.phase() != SandboxPhase::Ready {
        return Err(Error::Precondition(format!("pod sandbox {} is not ready", pod.spec.id)));
    }
    Ok(cri::CreateContainerResponse { container_id: runtime.containers.create(pod, config).await? })
}
