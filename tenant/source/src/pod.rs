//! Pods: only what makes a pod somebody else's peer is read, the rest is kubelet's business.

use std::net::IpAddr;

use cofferdam_tenant_cluster::null::{items, or_default};
use cofferdam_tenant_cluster::{ClusterPod, ContainerPort};
use serde::Deserialize;

use crate::document::{Document, FileError};
use crate::manifest::Metadata;

#[derive(Deserialize)]
struct PodManifest {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: PodSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    #[serde(deserialize_with = "or_default")]
    host_network: bool,
    #[serde(deserialize_with = "items")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "items")]
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    #[serde(deserialize_with = "or_default")]
    ports: Vec<ContainerPort>,
    #[serde(deserialize_with = "or_default")]
    restart_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    #[serde(deserialize_with = "or_default")]
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<IpAddr>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<PodIp>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: IpAddr,
}

/// The Pod of a document.
pub(crate) fn read(document: &Document<'_>) -> Result<ClusterPod, FileError> {
    let pod: PodManifest = document.read()?;
    pod.metadata.check_names(document)?;
    // An init container that is always restarted is a sidecar: its ports are served as long as the pod runs.
    let sidecars = pod.spec.init_containers.into_iter().filter(|c| c.restart_policy == "Always");
    let mut addresses: Vec<IpAddr> = pod.status.pod_ips.iter().map(|p| p.ip).collect();
    addresses.extend(pod.status.pod_ip.filter(|ip| !addresses.contains(ip)));
    Ok(ClusterPod {
        namespace: pod.metadata.namespace_or_default(),
        name: pod.metadata.name,
        uid: pod.metadata.uid,
        labels: pod.metadata.labels,
        addresses,
        ports: pod.spec.containers.into_iter().chain(sidecars).flat_map(|c| c.ports).collect(),
        host_network: pod.spec.host_network,
        finished: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
    })
}
