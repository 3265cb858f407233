//! StopPodSandbox.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime};

/// A sandbox that is not there is a success.
pub(super) async fn stop(
    runtime: &Arc<Runtime>,
    request: cri::StopPodSandboxRequest,
) -> Result<cri::StopPodSandboxResponse, Error> {
    match runtime.pod(&request.pod_sandbox_id) {
        Ok(pod) => runtime.stop_pod(&pod.spec.id).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::StopPodSandboxResponse {})
}
