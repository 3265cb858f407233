//! PullImage.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// The RPC may be given up and repeated: equal pulls share one download.
pub(super) async fn pull(runtime: &Runtime, request: cri::PullImageRequest) -> Result<cri::PullImageResponse, Error> {
    let reference = request.image.map(|i| i.image).filter(|i| !i.is_empty());
    let reference = reference.ok_or_else(|| Error::Invalid("image.image: is empty".into()))?;
    Ok(cri::PullImageResponse { image_ref: runtime.node.images.pull(&reference, request.auth).await? })
}
