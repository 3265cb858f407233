//! A pod sandbox's record, and the states it passes through.
//!
//! ```text
//!  new ──> Creating ──become_ready──> Ready ──end──> NotReady
//!             │                         │               │
//!             └──────── begin_removal ──┴───────────────┴──> Removing ──> (record removed)
//! ```
//! The phase changes by these methods only; each says whether it did. `released` becomes true when nothing of the
//! sandbox is left in the kernel, in `NotReady` and in `Removing`.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{Lease, SandboxRecord, SandboxSpec};
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::table::Record;

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

/// The name by which a repeated RunPodSandbox is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.attempt`.
    pub attempt: u32,
}

/// A pod sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxEntry {
    /// What was asked of the factory.
    pub spec: SandboxSpec,
    /// The request's config.
    pub config: Encoded<cri::PodSandboxConfig>,
    /// The handler as it was asked for; empty: the tenant's default.
    pub runtime_handler: String,
    /// `metadata.attempt`, part of the name.
    pub attempt: u32,
    phase: SandboxPhase,
    reason: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    lease: Option<Lease>,
    record: Option<SandboxRecord>,
    /// Boot id it was created under.
    pub boot_id: String,
    released: bool,
}

impl SandboxEntry {
    /// The intent to make a sandbox: phase `Creating`, nothing made yet.
    pub fn new(
        spec: SandboxSpec,
        config: Encoded<cri::PodSandboxConfig>,
        runtime_handler: String,
        boot_id: String,
        created_at: i64,
    ) -> Self {
        SandboxEntry {
            attempt: config.metadata.as_ref().map_or(0, |m| m.attempt),
            spec,
            config,
            runtime_handler,
            phase: SandboxPhase::Creating,
            reason: String::new(),
            created_at,
            lease: None,
            record: None,
            boot_id,
            released: false,
        }
    }

    /// The name that a retry repeats.
    pub fn name(&self) -> PodName {
        let SandboxSpec { namespace, name, uid, .. } = &self.spec;
        PodName { namespace: namespace.clone(), name: name.clone(), uid: uid.clone(), attempt: self.attempt }
    }

    /// Where it stands.
    pub fn phase(&self) -> SandboxPhase {
        self.phase
    }

    /// Whether clients are shown it.
    pub fn visible(&self) -> bool {
        matches!(self.phase, SandboxPhase::Ready | SandboxPhase::NotReady)
    }

    /// Why it is not ready; empty otherwise.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Addresses and interface; kept for as long as the record, which decides when they may be used again.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Processes and namespaces, once it has been ready.
    pub fn record(&self) -> Option<&SandboxRecord> {
        self.record.as_ref()
    }

    /// Whether everything that it had in the kernel is gone.
    pub fn released(&self) -> bool {
        self.released
    }

    /// Keeps the addresses that were taken for it. Only while it is being made.
    pub fn keep_lease(&mut self, lease: Lease) -> bool {
        let creating = self.phase == SandboxPhase::Creating;
        if creating {
            self.lease = Some(lease);
        }
        creating
    }

    /// Creating to Ready.
    pub fn become_ready(&mut self, record: SandboxRecord) -> bool {
        let creating = self.phase == SandboxPhase::Creating;
        if creating {
            self.phase = SandboxPhase::Ready;
            self.record = Some(record);
        }
        creating
    }

    /// Ready to NotReady. A sandbox that ended before keeps its first reason.
    pub fn end(&mut self, reason: String) -> bool {
        let ready = self.phase == SandboxPhase::Ready;
        if ready {
            self.phase = SandboxPhase::NotReady;
            self.reason = reason;
        }
        ready
    }

    /// To Removing, from everywhere.
    pub fn begin_removal(&mut self) {
        self.phase = SandboxPhase::Removing;
    }

    /// Nothing of it is left in the kernel. A sandbox that is READY still has all of it.
    pub fn release(&mut self) -> bool {
        self.released |= self.phase != SandboxPhase::Ready;
        self.released
    }
}

impl Record for SandboxEntry {
    const TABLE: &'static str = "sandboxes";
    fn id(&self) -> &str {
        &self.spec.id
    }
}
