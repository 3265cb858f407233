//! StartContainer.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// A container that was started before is a success.
pub(super) async fn start(
    runtime: &Runtime,
    request: cri::StartContainerRequest,
) -> Result<cri::StartContainerResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    runtime.containers.start(&entry.id).await?;
    Ok(cri::StartContainerResponse {})
}
