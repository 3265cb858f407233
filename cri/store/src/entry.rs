//! What is kept of a pod sandbox and of a container.
//!
//! CRI messages are kept as their encoded bytes, so that a field unknown to this release survives it.

use std::path::PathBuf;

use cofferdam_sandbox::{Lease, SandboxRecord, SandboxSpec};
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::Record;

/// Where a pod sandbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxPhase {
    /// Intent written; RunPodSandbox has not succeeded. Never shown; undone by recovery.
    Creating,
    /// READY.
    Ready,
    /// NOTREADY: stopped, or its shim, VM or node died.
    NotReady,
    /// RemovePodSandbox has begun. Never shown; finished by recovery.
    Removing,
}

/// A pod sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxEntry {
    /// What was asked of the factory.
    pub spec: SandboxSpec,
    /// `PodSandboxConfig`, encoded.
    #[serde(with = "bytes")]
    pub config: Vec<u8>,
    /// The handler as it was asked for; empty: the tenant's default.
    pub runtime_handler: String,
    /// Attempt, part of the name that retries are recognised by.
    pub attempt: u32,
    /// Phase.
    pub phase: SandboxPhase,
    /// Why it is not ready; empty otherwise.
    pub reason: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Addresses and interface; kept until they are released.
    pub lease: Option<Lease>,
    /// Processes and namespaces.
    pub record: Option<SandboxRecord>,
    /// Boot id it was created under.
    pub boot_id: String,
    /// Everything in the kernel that it had is gone.
    pub released: bool,
}

impl SandboxEntry {
    /// The name that a retry repeats.
    pub fn key(&self) -> String {
        let s = &self.spec;
        format!("{}_{}_{}_{}", s.name, s.namespace, s.uid, self.attempt)
    }
}

impl Record for SandboxEntry {
    const TABLE: &'static str = "sandboxes";
    fn id(&self) -> &str {
        &self.spec.id
    }
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerPhase {
    /// Intent written; CreateContainer has not succeeded. Never shown; undone by recovery.
    Creating,
    /// CREATED.
    Created,
    /// RUNNING.
    Running,
    /// EXITED.
    Exited,
    /// RemoveContainer has begun. Never shown; finished by recovery.
    Removing,
}

/// How a container ended, as CRI shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `Unknown`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Nanoseconds since the epoch.
    pub at: i64,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerEntry {
    /// 64 hex digits.
    pub id: String,
    /// Its pod sandbox.
    pub sandbox: String,
    /// CRI metadata name.
    pub name: String,
    /// CRI metadata attempt.
    pub attempt: u32,
    /// `ContainerConfig`, encoded.
    #[serde(with = "bytes")]
    pub config: Vec<u8>,
    /// The process as it was set up: execs get its user, environment, directory and privileges.
    pub process: Process,
    /// Image id (config digest).
    pub image_id: String,
    /// Repo digest, or the id where there is none.
    pub image_ref: String,
    /// Absolute log path; empty: no log.
    pub log_path: PathBuf,
    /// Signal that asks it to stop.
    pub stop_signal: i32,
    /// Limits in force, `LinuxContainerResources` encoded.
    #[serde(with = "bytes")]
    pub resources: Vec<u8>,
    /// User that it runs as: uid, gid, supplemental groups.
    pub user: (i64, i64, Vec<i64>),
    /// Phase.
    pub phase: ContainerPhase,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Nanoseconds since the epoch; 0 if it never ran.
    pub started_at: i64,
    /// PID on the host (namespace) or in the guest (VM); 0 when not running.
    pub pid: u32,
    /// How it ended.
    pub exit: Option<Exit>,
}

impl ContainerEntry {
    /// The name that a retry repeats, within its sandbox.
    pub fn key(&self) -> String {
        format!("{}_{}_{}", self.sandbox, self.name, self.attempt)
    }
}

impl Record for ContainerEntry {
    const TABLE: &'static str = "containers";
    fn id(&self) -> &str {
        &self.id
    }
}

/// Byte strings as base64 in JSON.
mod bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
