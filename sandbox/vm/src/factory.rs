//! Makes and recovers VM sandboxes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cofferdam_pod_api::{ShimConfig, ShimKind};
use cofferdam_pod_client::{Adopted, Launcher, blocking, cgroup, files};
use cofferdam_sandbox::{
    ContainerExit, Recovered, Sandbox, SandboxError, SandboxFactory, SandboxKind, SandboxRecord, SandboxSpec,
};

use crate::accel::{Choice, Found, choose};
use crate::sandbox::VmSandbox;
use crate::state::{State, Uids};
use crate::{VmConfig, boot, check, guest_memory, image, leftovers, share, size};

/// The factory of VM sandboxes. One a daemon.
pub struct VmFactory {
    config: Arc<VmConfig>,
    launcher: Arc<Launcher>,
    choice: Choice,
    uids: Uids,
}

impl VmFactory {
    /// Looks at once whether the node has KVM; image and binaries are looked for whenever they are needed, so one that
    /// is installed later is found. `launcher` starts the shims, of both kinds of sandbox alike.
    pub fn new(config: VmConfig, launcher: Arc<Launcher>) -> Self {
        let choice = choose(config.accel, &Found::look());
        if let Choice::Emulation(Some(reason)) = &choice {
            tracing::warn!(reason, "VMs ARE EMULATED AND SLOW: this node has no usable KVM");
        }
        let uids = Uids::new(config.first_uid);
        VmFactory { config: Arc::new(config), launcher, choice, uids }
    }

    /// What is worse than an admin may expect, for `cofferdam status`; `None` if nothing is.
    pub fn degraded(&self) -> Option<String> {
        match &self.choice {
            Choice::Emulation(Some(reason)) => Some(format!("VMs are emulated and slow: {reason}")),
            _ => None,
        }
    }

    fn shim_config(spec: &SandboxSpec) -> ShimConfig {
        ShimConfig {
            id: spec.id.clone(),
            dir: spec.dir.clone(),
            cgroup: spec.cgroup.clone(),
            shim_cgroup: spec.shim_cgroup.clone(),
            kind: ShimKind::Vm,
        }
    }

    // The parts without the shim.
    async fn prepare(&self, spec: &SandboxSpec) -> Result<State, SandboxError> {
        let size = spec.vm.ok_or_else(|| SandboxError::failed("make a VM", "its spec has no size"))?;
        let spec = spec.clone();
        let memory = {
            let cgroup = spec.cgroup.clone();
            blocking(move || guest_memory(size::limit_of(&cgroup), size.memory)).await?
        };
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&spec.dir);
        made.map_err(|error| SandboxError::failed(format!("make {}", spec.dir.display()), error))?;
        let state = self.uids.take(&spec.dir, memory, size.cpus)?;
        blocking(move || {
            for path in boot::cgroups(&spec) {
                cgroup::make(&path).map_err(|error| SandboxError::failed(format!("make the cgroup {path}"), error))?;
            }
            share::make(&boot::share(&spec))
        })
        .await?;
        Ok(state)
    }

    fn sandbox(
        &self,
        spec: &SandboxSpec,
        state: State,
        shim: Arc<cofferdam_pod_client::Shim>,
        record: SandboxRecord,
    ) -> Arc<VmSandbox> {
        Arc::new(VmSandbox {
            spec: spec.clone(),
            config: self.config.clone(),
            hardware: self.choice == Choice::Hardware,
            state,
            shim,
            record: Mutex::new(record),
        })
    }

    async fn make(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let state = self.prepare(spec).await?;
        let shim = self.launcher.launch(&Self::shim_config(spec)).await?;
        let record = SandboxRecord { shim: shim.identity().clone(), vmm: None, virtiofsd: None, netns: None };
        Ok(self.sandbox(spec, state, shim, record))
    }

    // A dead sandbox: nothing of it may run on, its records are kept.
    async fn dead(
        &self,
        spec: &SandboxSpec,
        record: Option<&SandboxRecord>,
        reason: String,
        exits: Vec<ContainerExit>,
    ) -> Result<Recovered, SandboxError> {
        let (spec, record) = (spec.clone(), record.cloned());
        blocking(move || {
            leftovers::kill(&spec, record.as_ref())?;
            leftovers::unmount(&spec)
        })
        .await?;
        Ok(Recovered::Dead { reason, exits })
    }
}

#[async_trait]
impl SandboxFactory for VmFactory {
    fn kind(&self) -> SandboxKind {
        SandboxKind::Vm
    }

    fn unavailable(&self) -> Option<String> {
        if let Choice::Impossible(reason) = &self.choice {
            return Some(reason.clone());
        }
        let programs = [(&self.config.qemu, "qemu-system-x86"), (&self.config.virtiofsd, "qemu-system-common")];
        if let Some((path, package)) = programs.iter().find(|(path, _)| !path.is_file()) {
            return Some(format!("{} is missing (Debian: apt install {package})", path.display()));
        }
        image::find(&self.config.image_dir).err().map(|error| error.to_string())
    }

    fn check(&self, spec: &SandboxSpec) -> Result<(), SandboxError> {
        check::pod(spec)
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        check::pod(spec)?;
        if let Some(reason) = self.unavailable() {
            return Err(SandboxError::Precondition(reason));
        }
        let made = self.make(spec).await;
        if made.is_err()
            && let Err(error) = self.remove_leftovers(spec, None).await
        {
            tracing::warn!(%error, sandbox = spec.id, "undoing a sandbox");
        }
        made
    }

    async fn bound_files(&self, dir: &Path, bytes: u64) -> Result<(), SandboxError> {
        let dir = dir.to_owned();
        blocking(move || {
            files::bound(&dir, bytes).map_err(|error| SandboxError::failed(format!("mount {}", dir.display()), error))
        })
        .await
    }

    async fn recover(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<Recovered, SandboxError> {
        let Some(record) = record else {
            return self.dead(spec, None, "the daemon ended while it was made".into(), Vec::new()).await;
        };
        let shim = match self.launcher.adopt(&spec.dir, &record.shim).await? {
            Adopted::Live(shim) => shim,
            Adopted::Dead { reason, exits } => return self.dead(spec, Some(record), reason, exits).await,
        };
        match (State::read(&spec.dir), &record.vmm) {
            (Ok(state), Some(_)) => Ok(Recovered::Live(self.sandbox(spec, state, shim, record.clone()))),
            (state, _) => {
                shim.kill().await;
                let reason =
                    state.err().map_or("the daemon ended while its VM booted".into(), |error| error.to_string());
                self.dead(spec, Some(record), reason, Vec::new()).await
            }
        }
    }

    async fn remove_leftovers(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<(), SandboxError> {
        let (spec, record) = (spec.clone(), record.cloned());
        blocking(move || {
            leftovers::kill(&spec, record.as_ref())?;
            leftovers::remove(&spec)
        })
        .await
    }
}
