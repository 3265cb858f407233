//! Pod sandboxes, as CRI's messages and as JSON.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{IdMap, NamespaceMode, ProcessIdentity, SandboxSpec};
use cofferdam_store::{SandboxEntry, SandboxPhase};
use serde_json::{Value, json};

/// CRI's state of a pod sandbox.
pub(super) fn state(entry: &SandboxEntry) -> cri::PodSandboxState {
    match entry.phase() {
        SandboxPhase::Ready => cri::PodSandboxState::SandboxReady,
        _ => cri::PodSandboxState::SandboxNotready,
    }
}

/// An item of ListPodSandbox.
pub(crate) fn item(entry: &SandboxEntry) -> cri::PodSandbox {
    let config = &entry.config;
    cri::PodSandbox {
        id: entry.spec.id.clone(),
        metadata: config.metadata.clone(),
        state: state(entry).into(),
        created_at: entry.created_at,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        runtime_handler: entry.runtime_handler.clone(),
    }
}

/// The status of a pod sandbox.
pub(crate) fn status(entry: &SandboxEntry) -> cri::PodSandboxStatus {
    let config = &entry.config;
    let ips: Vec<String> = entry.lease().iter().flat_map(|l| &l.addresses).map(ToString::to_string).collect();
    let ready = entry.phase() == SandboxPhase::Ready;
    let mut ips = ips.into_iter().filter(|_| ready);
    let network = cri::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| cri::PodIp { ip }).collect(),
    };
    cri::PodSandboxStatus {
        id: entry.spec.id.clone(),
        metadata: config.metadata.clone(),
        state: state(entry).into(),
        created_at: entry.created_at,
        network: Some(network),
        linux: Some(cri::LinuxPodSandboxStatus {
            namespaces: Some(cri::Namespace { options: Some(namespaces(&entry.spec)) }),
        }),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
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
    let ids = |maps: &[IdMap]| {
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

/// What programs read: the same object in `crictl inspectp` and in `cofferdam pods -o json`.
pub(crate) fn details(entry: &SandboxEntry) -> Value {
    let spec = &entry.spec;
    let record = entry.record();
    let alive = !entry.released() && entry.phase() == SandboxPhase::Ready;
    let pid = |p: Option<&ProcessIdentity>| p.filter(|_| alive).map(|p| p.pid);
    json!({
        "id": spec.id,
        "namespace": spec.namespace,
        "name": spec.name,
        "tenant": spec.tenant,
        "sandbox": spec.kind.as_str(),
        "state": if alive { "Ready" } else { "NotReady" },
        "reason": entry.reason(),
        "createdAt": entry.created_at,
        "addresses": entry.lease().iter().flat_map(|l| &l.addresses).map(ToString::to_string).collect::<Vec<_>>(),
        "interface": entry.lease().map(|l| l.interface.clone()),
        "shimPid": pid(record.map(|r| &r.shim)),
        "vmmPid": pid(record.and_then(|r| r.vmm.as_ref())),
        "virtiofsdPid": pid(record.and_then(|r| r.virtiofsd.as_ref())),
        "netns": record.filter(|_| alive).and_then(|r| r.netns.as_ref()),
    })
}
