//! Filters of the list RPCs. Ids match by prefix, labels by equality of all that are named.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::{ContainerEntry, SandboxEntry};

use super::{containers, pods};

type Labels = HashMap<String, String>;

fn labels_match(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a pod sandbox is wanted.
pub(crate) fn pod(entry: &SandboxEntry, filter: Option<&cri::PodSandboxFilter>) -> bool {
    let Some(filter) = filter else { return entry.visible() };
    entry.visible()
        && entry.spec.id.starts_with(&filter.id)
        && filter.state.as_ref().is_none_or(|s| s.state == i32::from(pods::state(entry)))
        && labels_match(&filter.label_selector, &entry.config.labels)
}

/// Whether a container is wanted.
pub(crate) fn container(entry: &ContainerEntry, filter: Option<&cri::ContainerFilter>) -> bool {
    let Some(filter) = filter else { return entry.visible() };
    entry.visible()
        && entry.id.starts_with(&filter.id)
        && entry.sandbox.starts_with(&filter.pod_sandbox_id)
        && filter.state.as_ref().is_none_or(|s| s.state == i32::from(containers::state(entry)))
        && labels_match(&filter.label_selector, &entry.config.labels)
}

/// Whether a container's statistics are wanted.
pub(crate) fn container_stats(entry: &ContainerEntry, filter: Option<&cri::ContainerStatsFilter>) -> bool {
    let Some(filter) = filter else { return entry.visible() };
    entry.visible()
        && entry.id.starts_with(&filter.id)
        && entry.sandbox.starts_with(&filter.pod_sandbox_id)
        && labels_match(&filter.label_selector, &entry.config.labels)
}

/// Whether a pod's statistics are wanted.
pub(crate) fn pod_stats(entry: &SandboxEntry, filter: Option<&cri::PodSandboxStatsFilter>) -> bool {
    let Some(filter) = filter else { return entry.visible() };
    entry.visible()
        && entry.spec.id.starts_with(&filter.id)
        && labels_match(&filter.label_selector, &entry.config.labels)
}
