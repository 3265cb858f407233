//! ListImages, StreamImages and ImageStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;

use super::pages::{Pages, pages};
use crate::error::Error;
use crate::images::StoredImage;
use crate::present;
use crate::runtime::Runtime;

/// All that the filter wants, in one message.
pub(super) async fn list(runtime: &Runtime, request: cri::ListImagesRequest) -> Result<cri::ListImagesResponse, Error> {
    Ok(cri::ListImagesResponse { images: items(runtime, request.filter.as_ref())? })
}

/// All that the filter wants, in pages.
pub(super) async fn stream(
    runtime: &Runtime,
    request: cri::StreamImagesRequest,
) -> Result<Pages<cri::StreamImagesResponse>, Error> {
    let page = |images| cri::StreamImagesResponse { images };
    Ok(pages(items(runtime, request.filter.as_ref())?, page))
}

/// An image that is absent is an empty answer.
pub(super) async fn status(
    runtime: &Runtime,
    request: cri::ImageStatusRequest,
) -> Result<cri::ImageStatusResponse, Error> {
    let wanted = request.image.as_ref().map(|i| i.image.as_str()).unwrap_or_default();
    let Some(found) = runtime.node.images.find(wanted)? else {
        return Ok(cri::ImageStatusResponse { image: None, info: HashMap::new() });
    };
    let mut info = HashMap::new();
    if request.verbose {
        let config = runtime.node.images.config(&found.id)?;
        let text = serde_json::to_string(&config).map_err(|e| Error::Internal(e.to_string()))?;
        info.insert("config".to_owned(), text);
    }
    Ok(cri::ImageStatusResponse { image: Some(item(runtime, &found)?), info })
}

fn items(runtime: &Runtime, filter: Option<&cri::ImageFilter>) -> Result<Vec<cri::Image>, Error> {
    let wanted = filter.and_then(|f| f.image.as_ref()).map(|i| i.image.as_str()).unwrap_or_default();
    if wanted.is_empty() {
        return runtime.node.images.list().iter().map(|found| item(runtime, found)).collect();
    }
    let found = runtime.node.images.find(wanted)?;
    found.iter().map(|found| item(runtime, found)).collect()
}

fn item(runtime: &Runtime, image: &StoredImage) -> Result<cri::Image, Error> {
    let config = runtime.node.images.config(&image.id)?;
    let user = config.config().as_ref().and_then(|c| c.user().clone()).unwrap_or_default();
    Ok(present::images::item(image, &user))
}
