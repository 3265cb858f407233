//! ListPodSandbox and StreamPodSandboxes.

use cofferdam_cri_api::v1 as cri;

use super::pages::{Pages, pages};
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// All that the filter wants, in one message.
pub(super) async fn list(
    runtime: &Runtime,
    request: cri::ListPodSandboxRequest,
) -> Result<cri::ListPodSandboxResponse, Error> {
    Ok(cri::ListPodSandboxResponse { items: items(runtime, request.filter.as_ref()) })
}

/// All that the filter wants, in pages.
pub(super) async fn stream(
    runtime: &Runtime,
    request: cri::StreamPodSandboxesRequest,
) -> Result<Pages<cri::StreamPodSandboxesResponse>, Error> {
    let page = |pod_sandboxes| cri::StreamPodSandboxesResponse { pod_sandboxes };
    Ok(pages(items(runtime, request.filter.as_ref()), page))
}

/// Newest first, as people expect of `crictl pods`.
fn items(runtime: &Runtime, filter: Option<&cri::PodSandboxFilter>) -> Vec<cri::PodSandbox> {
    let mut found = runtime.pods.records().list();
    found.retain(|s| present::filters::pod(s, filter));
    found.sort_by_key(|s| std::cmp::Reverse(s.created_at));
    found.iter().map(|s| present::pods::item(s)).collect()
}
