//! ContainerStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use serde_json::json;

use crate::{Error, Runtime, convert};

pub(super) fn status(
    runtime: &Runtime,
    request: &cri::ContainerStatusRequest,
) -> Result<cri::ContainerStatusResponse, Error> {
    let entry = runtime.container(&request.container_id)?;
    let mut info = HashMap::new();
    if request.verbose {
        let facts = json!({ "pid": entry.pid, "sandboxID": entry.sandbox, "process": entry.process });
        info.insert("info".to_owned(), facts.to_string());
    }
    Ok(cri::ContainerStatusResponse { status: Some(convert::container_status(&entry)), info })
}
