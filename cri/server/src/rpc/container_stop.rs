//! StopContainer.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// The longest grace period: above it, adding to the clock could overflow.
const LONGEST: u64 = 10 * 365 * 24 * 3600;

/// A container that is not there is a success.
pub(super) async fn stop(
    runtime: &Runtime,
    request: cri::StopContainerRequest,
) -> Result<cri::StopContainerResponse, Error> {
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0).min(LONGEST));
    match runtime.containers.find(&request.container_id) {
        Ok(container) => runtime.containers.stop(&container, grace).await?,
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(cri::StopContainerResponse {})
}
