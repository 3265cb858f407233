//! StopPodSandbox.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// A sandbox that is not there is a success.
pub(super) async fn stop(
    runtime: &Runtime,
    request: cri::StopPodSandboxRequest,
) -> Result<cri::StopPodSandboxResponse, Error> {
    match runtime.pods.find(&request.pod_sandbox_id) {
        Ok(pod) => runtime.pods.stop(&pod.spec.id).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::StopPodSandboxResponse {})
}
