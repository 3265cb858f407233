//! RemovePodSandbox.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime};

/// A sandbox that is not there is a success; a running one is stopped first.
pub(super) async fn remove(
    runtime: &Arc<Runtime>,
    request: cri::RemovePodSandboxRequest,
) -> Result<cri::RemovePodSandboxResponse, Error> {
    match runtime.pod(&request.pod_sandbox_id) {
        Ok(pod) => runtime.remove_pod(&pod).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::RemovePodSandboxResponse {})
}
