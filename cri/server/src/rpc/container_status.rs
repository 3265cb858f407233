//! ContainerStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// Verbose: with PID and process.
pub(super) async fn status(
    runtime: &Runtime,
    request: cri::ContainerStatusRequest,
) -> Result<cri::ContainerStatusResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    let mut info = HashMap::new();
    if request.verbose {
        info.insert("info".to_owned(), present::containers::details(&entry).to_string());
    }
    Ok(cri::ContainerStatusResponse { status: Some(present::containers::status(&entry)), info })
}
