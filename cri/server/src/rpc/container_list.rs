//! ListContainers and StreamContainers.

use cofferdam_cri_api::v1 as cri;

use super::pages::{Pages, pages};
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// All that the filter wants, in one message.
pub(super) async fn list(
    runtime: &Runtime,
    request: cri::ListContainersRequest,
) -> Result<cri::ListContainersResponse, Error> {
    Ok(cri::ListContainersResponse { containers: items(runtime, request.filter.as_ref()) })
}

/// All that the filter wants, in pages.
pub(super) async fn stream(
    runtime: &Runtime,
    request: cri::StreamContainersRequest,
) -> Result<Pages<cri::StreamContainersResponse>, Error> {
    let page = |containers| cri::StreamContainersResponse { containers };
    Ok(pages(items(runtime, request.filter.as_ref()), page))
}

/// Newest first.
fn items(runtime: &Runtime, filter: Option<&cri::ContainerFilter>) -> Vec<cri::Container> {
    let mut found = runtime.containers.records().list();
    found.retain(|c| present::filters::container(c, filter));
    found.sort_by_key(|c| std::cmp::Reverse(c.created_at));
    found.iter().map(|c| present::containers::item(c)).collect()
}
