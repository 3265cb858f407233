//! RemovePodSandbox.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// A sandbox that is not there is a success; a running one is stopped first.
pub(super) async fn remove(
    runtime: &Runtime,
    request: cri::RemovePodSandboxRequest,
) -> Result<cri::RemovePodSandboxResponse, Error> {
    match runtime.pods.find(&request.pod_sandbox_id) {
        Ok(pod) => runtime.pods.remove(&pod.spec.id).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::RemovePodSandboxResponse {})
}
