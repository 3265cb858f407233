//! Pods as the cluster's objects describe them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Labels;
use crate::null::or_default;

/// A port that a container declares, in the form of kubelet's annotation `io.kubernetes.container.ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its name; empty when it has none.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// The port number.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`; empty is TCP.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
}

/// A pod of the cluster, on whatever node it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; empty when unknown.
    pub uid: String,
    /// Its labels.
    pub labels: Labels,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// Ports that its containers declare.
    pub ports: Vec<ContainerPort>,
    /// Whether it is on its node's network: for policies it is the node, not a pod.
    pub host_network: bool,
    /// Whether it is Succeeded or Failed: its addresses are no longer its own.
    pub finished: bool,
}
