//! ListImages, StreamImages and ImageStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use cofferdam_image::ImageRecord;

use crate::{Error, Runtime};

pub(super) fn list(runtime: &Runtime, filter: Option<&cri::ImageFilter>) -> Result<Vec<cri::Image>, Error> {
    let wanted = filter.and_then(|f| f.image.as_ref()).map(|i| i.image.as_str()).unwrap_or_default();
    if wanted.is_empty() {
        return runtime.parts.images.list().iter().map(|r| image(runtime, r)).collect();
    }
    let found = runtime.parts.images.status(wanted)?;
    found.iter().map(|r| image(runtime, r)).collect()
}

/// An image that is absent is an empty answer.
pub(super) fn status(runtime: &Runtime, request: &cri::ImageStatusRequest) -> Result<cri::ImageStatusResponse, Error> {
    let wanted = request.image.as_ref().map(|i| i.image.as_str()).unwrap_or_default();
    let Some(record) = runtime.parts.images.status(wanted)? else {
        return Ok(cri::ImageStatusResponse { image: None, info: HashMap::new() });
    };
    let mut info = HashMap::new();
    if request.verbose {
        let config = runtime.parts.images.config(&record.id)?;
        let text = serde_json::to_string(&config).map_err(|e| Error::Internal(e.to_string()))?;
        info.insert("config".to_owned(), text);
    }
    Ok(cri::ImageStatusResponse { image: Some(image(runtime, &record)?), info })
}

/// The user is told as a number or as a name: kubelet checks runAsNonRoot by it.
fn image(runtime: &Runtime, record: &ImageRecord) -> Result<cri::Image, Error> {
    let defaults = runtime.image(&record.id)?.defaults;
    let user = defaults.user.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { Some(0) } else { user.parse().ok() };
    Ok(cri::Image {
        id: record.id.clone(),
        repo_tags: record.repo_tags.clone(),
        repo_digests: record.repo_digests.clone(),
        size: record.size,
        uid: uid.map(|value| cri::Int64Value { value }),
        username: if uid.is_none() { user.to_owned() } else { String::new() },
        spec: Some(cri::ImageSpec { image: record.id.clone(), ..Default::default() }),
        pinned: record.pinned,
    })
}
