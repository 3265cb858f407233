//! Containers, as CRI's messages and as JSON.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::{ContainerEntry, ContainerPhase};
use serde_json::{Value, json};

use crate::spec::signal_name;

/// CRI's state of a container.
pub(crate) fn state(entry: &ContainerEntry) -> cri::ContainerState {
    match entry.phase() {
        ContainerPhase::Creating | ContainerPhase::Created => cri::ContainerState::ContainerCreated,
        ContainerPhase::Running => cri::ContainerState::ContainerRunning,
        ContainerPhase::Exited | ContainerPhase::Removing => cri::ContainerState::ContainerExited,
    }
}

/// An item of ListContainers.
pub(crate) fn item(entry: &ContainerEntry) -> cri::Container {
    let config = &entry.config;
    cri::Container {
        id: entry.id.clone(),
        pod_sandbox_id: entry.sandbox.clone(),
        metadata: config.metadata.clone(),
        image: config.image.clone(),
        image_ref: entry.image_id.clone(),
        state: state(entry).into(),
        created_at: entry.created_at,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        image_id: entry.image_id.clone(),
    }
}

/// The status of a container.
pub(crate) fn status(entry: &ContainerEntry) -> cri::ContainerStatus {
    let config = &entry.config;
    let exit = entry.exit();
    let (uid, gid, supplemental_groups) = entry.user().clone();
    cri::ContainerStatus {
        id: entry.id.clone(),
        metadata: config.metadata.clone(),
        state: state(entry).into(),
        created_at: entry.created_at,
        started_at: entry.started_at(),
        finished_at: exit.map_or(0, |e| e.at),
        exit_code: exit.map_or(0, |e| e.code),
        image: config.image.clone(),
        image_ref: entry.image_ref.clone(),
        reason: exit.map(|e| e.reason.clone()).unwrap_or_default(),
        message: exit.map(|e| e.message.clone()).unwrap_or_default(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        mounts: config.mounts.clone(),
        log_path: entry.log_path.to_string_lossy().into_owned(),
        resources: Some(cri::ContainerResources { linux: Some((*entry.resources).clone()), windows: None }),
        image_id: entry.image_id.clone(),
        user: Some(cri::ContainerUser { linux: Some(cri::LinuxContainerUser { uid, gid, supplemental_groups }) }),
        stop_signal: signal_name(entry.stop_signal).into(),
    }
}

/// What `crictl inspect` shows besides.
pub(crate) fn details(entry: &ContainerEntry) -> Value {
    json!({ "pid": entry.pid(), "sandboxID": entry.sandbox, "process": entry.process() })
}
