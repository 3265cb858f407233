//! What a sandbox is asked to be: decided by the server from the CRI request and the tenant, then kept in the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cofferdam_pod_api::PodNamespaces;
use cofferdam_tenant::SandboxKind;
use serde::{Deserialize, Serialize};

/// Below the directory of a sandbox: what its containers find in /etc (resolv.conf, hosts, hostname).
pub const FILES_DIR: &str = "etc";

/// Everything a sandbox factory needs; written to the store before anything is allocated, so that recovery can undo it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The pod sandbox id: 64 lower-case hex digits.
    pub id: String,
    /// Pod metadata, for names in logs and errors.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Pod UID as kubelet gave it.
    pub uid: String,
    /// The tenant that the pod's namespace belongs to.
    pub tenant: String,
    /// Namespaces or a VM.
    pub kind: SandboxKind,
    /// Host name inside the pod; empty with host network.
    pub hostname: String,
    /// The pod's own directory below the run state (`STATE/pods/ID`): socket, namespaces, shares, exit records.
    pub dir: PathBuf,
    /// Path of the pod's cgroup below each hierarchy's root (cgroupfs form, `/kubepods/burstable/podUID` or
    /// `/cofferdam/pods/ID`).
    pub cgroup: String,
    /// Path of the cgroup that shims live in; never below a pod's.
    pub shim_cgroup: String,
    /// Which namespaces the pod has of its own.
    pub namespaces: PodNamespaces,
    /// Namespaced sysctls of the pod, dotted names.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of the pod's `/dev/shm`.
    pub shm_size: u64,
    /// Content of resolv.conf.
    pub resolv_conf: String,
    /// Size of the VM; `None` in a namespace sandbox.
    pub vm: Option<VmSize>,
    /// Seccomp program (BPF, `struct sock_filter` array) of the init of a shared PID namespace; empty: none.
    #[serde(default)]
    pub init_seccomp: Vec<u8>,
}

/// The size of a VM sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSize {
    /// Virtual CPUs, at least 1.
    pub cpus: u32,
    /// Guest RAM in bytes.
    pub memory: u64,
}
