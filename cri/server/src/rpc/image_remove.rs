//! RemoveImage.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime};

/// An image that is not there is a success. Containers keep the layers they run on.
pub(super) async fn remove(
    runtime: &Arc<Runtime>,
    request: cri::RemoveImageRequest,
) -> Result<cri::RemoveImageResponse, Error> {
    let wanted = request.image.map(|i| i.image).filter(|i| !i.is_empty());
    let wanted = wanted.ok_or_else(|| Error::Invalid("image.image: is empty".into()))?;
    if let Some(record) = runtime.parts.images.status(&wanted)? {
        runtime.parts.images.remove(&wanted).await?;
        runtime.users.forget(&record.id);
    }
    Ok(cri::RemoveImageResponse {})
}
