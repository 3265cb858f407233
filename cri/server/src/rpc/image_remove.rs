//! RemoveImage.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// An image that is not there is a success. Containers keep the layers they run on.
pub(super) async fn remove(
    runtime: &Runtime,
    request: cri::RemoveImageRequest,
) -> Result<cri::RemoveImageResponse, Error> {
    let wanted = request.image.map(|i| i.image).filter(|i| !i.is_empty());
    let wanted = wanted.ok_or_else(|| Error::Invalid("image.image: is empty".into()))?;
    if let Some(found) = runtime.node.images.find(&wanted)? {
        runtime.node.images.remove(&wanted).await?;
        runtime.containers.forget_image(&found.id);
    }
    Ok(cri::RemoveImageResponse {})
}
