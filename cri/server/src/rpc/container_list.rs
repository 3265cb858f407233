//! ListContainers and StreamContainers.

use cofferdam_cri_api::v1 as cri;

use crate::{Runtime, convert, filter};

/// Newest first.
pub(super) fn list(runtime: &Runtime, wanted: Option<&cri::ContainerFilter>) -> Vec<cri::Container> {
    let mut found: Vec<_> =
        runtime.parts.store.containers.list().into_iter().filter(|c| filter::container(c, wanted)).collect();
    found.sort_by_key(|c| std::cmp::Reverse(c.created_at));
    found.iter().map(|c| convert::container(c)).collect()
}
