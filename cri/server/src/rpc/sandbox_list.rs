//! ListPodSandbox and StreamPodSandboxes.

use cofferdam_cri_api::v1 as cri;

use crate::{Runtime, convert, filter};

/// Newest first, as people expect of `crictl pods`.
pub(super) fn list(runtime: &Runtime, wanted: Option<&cri::PodSandboxFilter>) -> Vec<cri::PodSandbox> {
    let mut found: Vec<_> =
        runtime.parts.store.sandboxes.list().into_iter().filter(|s| filter::pod(s, wanted)).collect();
    found.sort_by_key(|s| std::cmp::Reverse(s.created_at));
    found.iter().map(|s| convert::pod(s)).collect()
}
