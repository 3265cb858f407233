//! ReopenContainerLog.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// kubelet has moved the file away; the container writes into a new one of the same name.
pub(super) async fn reopen(
    runtime: &Runtime,
    request: cri::ReopenContainerLogRequest,
) -> Result<cri::ReopenContainerLogResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    runtime.containers.reopen_log(&entry).await?;
    Ok(cri::ReopenContainerLogResponse {})
}
