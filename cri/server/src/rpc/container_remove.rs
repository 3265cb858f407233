//! RemoveContainer.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime};

/// A container that is not there is a success; a running one is killed.
pub(super) async fn remove(
    runtime: &Arc<Runtime>,
    request: cri::RemoveContainerRequest,
) -> Result<cri::RemoveContainerResponse, Error> {
    match runtime.container(&request.container_id) {
        Ok(container) => runtime.remove_container(&container.id).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::RemoveContainerResponse {})
}
