//! From the store's entries to CRI's messages.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{NamespaceMode, SandboxSpec};
use cofferdam_store::{ContainerEntry, ContainerPhase, SandboxEntry, SandboxPhase};
use prost::Message;

/// Decodes what this daemon (or an older one) encoded. Bytes that do not decode give the empty message: the entry's own
/// fields still tell what the object is, and recovery has said so in the log.
pub(crate) fn pod_config(entry: &SandboxEntry) -> cri::PodSandboxConfig {
    cri::PodSandboxConfig::decode(entry.config.as_slice()).unwrap_or_default()
}

/// See [`pod_config`].
pub(crate) fn container_config(entry: &ContainerEntry) -> cri::ContainerConfig {
    cri::ContainerConfig::decode(entry.config.as_slice()).unwrap_or_default()
}

/// Whether clients see it.
pub(crate) fn pod_visible(entry: &SandboxEntry) -> bool {
    matches!(entry.phase, SandboxPhase::Ready | SandboxPhase::NotReady)
}

/// Whether clients see it.
pub(crate) fn container_visible(entry: &ContainerEntry) -> bool {
    !matches!(entry.phase, ContainerPhase::Creating | ContainerPhase::Removing)
}

fn pod_state(entry: &SandboxEntry) -> cri::PodSandboxState {
    match entry.phase {
        SandboxPhase::Ready => cri::PodSandboxState::SandboxReady,
        _ => cri::PodSandboxState::SandboxNotready,
    }
}

/// CRI's state of a container.
pub(crate) fn container_state(entry: &ContainerEntry) -> cri::ContainerState {
    match entry.phase {
        ContainerPhase::Creating | ContainerPhase::Created => cri::ContainerState::ContainerCreated,
        ContainerPhase::Running => cri::ContainerState::ContainerRunning,
        ContainerPhase::Exited | ContainerPhase::Removing => cri::ContainerState::ContainerExited,
    }
}

/// An item of ListPodSandbox.
pub(crate) fn pod(entry: &SandboxEntry) -> cri::PodSandbox {
    let config = pod_config(entry);
    cri::PodSandbox {
        id: entry.spec.id.clone(),
        metadata: config.metadata,
        state: pod_state(entry).into(),
        created_at: entry.created_at,
        labels: config.labels,
        annotations: config.annotations,
        runtime_handler: entry.runtime_handler.clone(),
    }
}

/// The status of a pod sandbox.
pub(crate) fn pod_status(entry: &SandboxEntry) -> cri::PodSandboxStatus {
    let config = pod_config(entry);
    let ips: Vec<String> = entry.lease.iter().flat_map(|l| &l.addresses).map(ToString::to_string).collect();
    let ready = entry.phase == SandboxPhase::Ready;
    let mut ips = ips.into_iter().filter(|_| ready);
    let network = cri::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| cri::PodIp { ip }).collect(),
    };
    cri::PodSandboxStatus {
        id: entry.spec.id.clone(),
        metadata: config.metadata,
        state: pod_state(entry).into(),
        created_at: entry.created_at,
        network: Some(network),
        linux: Some(cri::LinuxPodSandboxStatus {
            namespaces: Some(cri::Namespace { options: Some(namespaces(&entry.spec)) }),
        }),
        labels: config.labels,
        annotations: config.annotations,
        runtime_handler: entry.runtime_handler.clone(),
    }
}

fn namespaces(spec: &SandboxSpec) -> cri::NamespaceOption {
    let mode = |m: NamespaceMode| match m {
        NamespaceMode::Pod => cri::NamespaceMode::Pod,
        NamespaceMode::Container => cri::NamespaceMode::Container,
        NamespaceMode::Node => cri::NamespaceMode::Node,
    };
    let n = &spec.namespaces;
    let ids = |maps: &[cofferdam_sandbox::IdMap]| {
        maps.iter().map(|m| cri::IdMapping { host_id: m.host, container_id: m.container, length: m.size }).collect()
    };
    cri::NamespaceOption {
        network: mode(n.network).into(),
        pid: mode(n.pid).into(),
        ipc: mode(n.ipc).into(),
        target_id: String::new(),
        userns_options: Some(match &n.user {
            Some(user) => cri::UserNamespace {
                mode: cri::NamespaceMode::Pod.into(),
                uids: ids(&user.uids),
                gids: ids(&user.gids),
            },
            None => cri::UserNamespace { mode: cri::NamespaceMode::Node.into(), ..Default::default() },
        }),
    }
}

/// An item of ListContainers.
pub(crate) fn container(entry: &ContainerEntry) -> cri::Container {
    let config = container_config(entry);
    cri::Container {
        id: entry.id.clone(),
        pod_sandbox_id: entry.sandbox.clone(),
        metadata: config.metadata,
        image: config.image,
        image_ref: entry.image_ref.clone(),
        state: container_state(entry).into(),
        created_at: entry.created_at,
        labels: config.labels,
        annotations: config.annotations,
        image_id: entry.image_id.clone(),
    }
}

/// The status of a container.
pub(crate) fn container_status(entry: &ContainerEntry) -> cri::ContainerStatus {
    let config = container_config(entry);
    let exit = entry.exit.as_ref();
    let (uid, gid, supplemental_groups) = entry.user.clone();
    cri::ContainerStatus {
        id: entry.id.clone(),
        metadata: config.metadata,
        state: container_state(entry).into(),
        created_at: entry.created_at,
        started_at: entry.started_at,
        finished_at: exit.map_or(0, |e| e.at),
        exit_code: exit.map_or(0, |e| e.code),
        image: config.image,
        image_ref: entry.image_ref.clone(),
        reason: exit.map(|e| e.reason.clone()).unwrap_or_default(),
        message: exit.map(|e| e.message.clone()).unwrap_or_default(),
        labels: config.labels,
        annotations: config.annotations,
        mounts: config.mounts,
        log_path: entry.log_path.to_string_lossy().into_owned(),
        resources: Some(cri::ContainerResources { linux: Some(resources(entry)), windows: None }),
        image_id: entry.image_id.clone(),
        user: Some(cri::ContainerUser { linux: Some(cri::LinuxContainerUser { uid, gid, supplemental_groups }) }),
        stop_signal: config.stop_signal,
    }
}

/// The limits in force.
pub(crate) fn resources(entry: &ContainerEntry) -> cri::LinuxContainerResources {
    cri::LinuxContainerResources::decode(entry.resources.as_slice()).unwrap_or_default()
}
