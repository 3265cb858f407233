//! PodSandboxStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;

use crate::clock::now;
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// With the statuses of its containers, as evented PLEG wants them.
pub(super) async fn status(
    runtime: &Runtime,
    request: cri::PodSandboxStatusRequest,
) -> Result<cri::PodSandboxStatusResponse, Error> {
    let entry = runtime.pods.find(&request.pod_sandbox_id)?;
    let containers = runtime.containers.of_sandbox(&entry.spec.id);
    let mut info = HashMap::new();
    if request.verbose {
        info.insert("cofferdam".to_owned(), present::pods::details(&entry).to_string());
    }
    Ok(cri::PodSandboxStatusResponse {
        status: Some(present::pods::status(&entry)),
        info,
        containers_statuses: containers
            .iter()
            .filter(|c| c.visible())
            .map(|c| present::containers::status(c))
            .collect(),
        timestamp: now(),
    })
}
