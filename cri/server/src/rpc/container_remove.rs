//! RemoveContainer.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// A container that is not there is a success; a running one is killed.
pub(super) async fn remove(
    runtime: &Runtime,
    request: cri::RemoveContainerRequest,
) -> Result<cri::RemoveContainerResponse, Error> {
    match runtime.containers.find(&request.container_id) {
        Ok(container) => runtime.containers.remove(&container.id).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::RemoveContainerResponse {})
}
