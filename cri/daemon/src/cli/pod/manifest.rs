//! A Pod as a file says it, and nothing else: a field that is not here is refused by name.

mod container;
mod seccomp;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use container::{Container, Port, Propagation, Protocol, PullPolicy, Resources, VolumeMount};
pub use seccomp::{Seccomp, SeccompType};

/// The document.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodManifest {
    #[serde(skip_serializing, rename = "kind")]
    pub(super) _kind: IgnoredAny,
    /// `v1`.
    pub api_version: String,
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What to run.
    pub spec: PodSpec,
}

/// Its name, and what it is labelled with.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub namespace: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What to run, and how.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodSpec {
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    pub runtime_class_name: Option<String>,
    pub hostname: Option<String>,
    pub termination_grace_period_seconds: Option<u32>,
    #[serde(default)]
    pub dns_policy: DnsPolicy,
    pub dns_config: Option<DnsConfig>,
    #[serde(default)]
    pub host_network: bool,
    #[serde(rename = "hostPID", default)]
    pub host_pid: bool,
    #[serde(rename = "hostIPC", default)]
    pub host_ipc: bool,
    pub host_users: Option<bool>,
    #[serde(default)]
    pub share_process_namespace: bool,
    #[serde(default)]
    pub security_context: PodSecurity,
}

/// What Kubernetes does when a container ends; here nobody does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// Without a cluster's DNS, `ClusterFirst` is `Default`, as with a kubelet that knows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum DnsPolicy {
    #[default]
    ClusterFirst,
    Default,
    None,
}

/// With `dnsPolicy: None`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    pub nameservers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<DnsOption>,
}

/// An option of resolv.conf.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DnsOption {
    pub name: String,
    pub value: Option<String>,
}

/// The security context of the whole pod.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PodSecurity {
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub run_as_non_root: Option<bool>,
    pub supplemental_groups: Vec<i64>,
    pub supplemental_groups_policy: GroupsPolicy,
    pub seccomp_profile: Option<Seccomp>,
    pub sysctls: Vec<Sysctl>,
}

/// Whether groups that the image gives its user count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum GroupsPolicy {
    #[default]
    Merge,
    Strict,
}

/// A kernel parameter.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    pub name: String,
    pub value: String,
}

/// A volume: exactly one of the two.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    pub host_path: Option<HostPath>,
    pub empty_dir: Option<EmptyDir>,
}

/// A path of the node.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostPath {
    pub path: String,
    #[serde(default)]
    pub r#type: HostPathType,
}

/// What must be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum HostPathType {
    #[default]
    #[serde(rename = "")]
    Any,
    DirectoryOrCreate,
    Directory,
    FileOrCreate,
    File,
    Socket,
    CharDevice,
    BlockDevice,
}

/// A directory that lives as long as the pod, on disk.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyDir {}

impl PodManifest {
    /// The namespace; `default` when the file names none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }
}

impl fmt::Display for PodManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace(), self.metadata.name)
    }
}
