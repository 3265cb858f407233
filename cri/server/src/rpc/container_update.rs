//! UpdateContainerResources.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// A request without Linux limits changes nothing.
pub(super) async fn update(
    runtime: &Runtime,
    request: cri::UpdateContainerResourcesRequest,
) -> Result<cri::UpdateContainerResourcesResponse, Error> {
    if request.windows.is_some() {
        return Err(Error::Invalid("windows: this is a Linux runtime".into()));
    }
    let entry = runtime.containers.find(&request.container_id)?;
    runtime.containers.update(&entry, request.linux.as_ref()).await?;
    Ok(cri::UpdateContainerResourcesResponse {})
}
