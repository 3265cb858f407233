//! One live VM sandbox.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cofferdam_pod_api::BootedProcesses;
use cofferdam_pod_client::{Shim, blocking, identity};
use cofferdam_sandbox::{
    Attachment, ContainerSpec, LinkEnd, NetworkAttachment, PodClient, Sandbox, SandboxError, SandboxRecord, SandboxSpec,
};

use crate::boot::{self, BoundedLog};
use crate::state::State;
use crate::{RESERVE, VmConfig, check, image, leftovers, plan, share};

/// One live VM sandbox. Who changes its state: `start` sets the record's processes, once.
pub(crate) struct VmSandbox {
    pub(crate) spec: SandboxSpec,
    pub(crate) config: Arc<VmConfig>,
    pub(crate) hardware: bool,
    pub(crate) state: State,
    pub(crate) shim: Arc<Shim>,
    pub(crate) record: Mutex<SandboxRecord>,
}

impl VmSandbox {
    async fn boot(&self, link: Option<LinkEnd>) -> Result<(), SandboxError> {
        let memory = |error| SandboxError::failed("keep a VM's console", error);
        let (console, messages) = (BoundedLog::new().map_err(memory)?, BoundedLog::new().map_err(memory)?);
        let image =
            image::find(&self.config.image_dir).map_err(|error| SandboxError::Precondition(error.to_string()))?;
        let (request, fds) =
            boot::request(&self.config, self.hardware, &image, &self.spec, self.state, link, [&console, &messages])?;
        let limit = self.config.boot_timeout;
        let processes = match tokio::time::timeout(limit, self.shim.boot(&request, fds)).await {
            Ok(Ok(processes)) => processes,
            Ok(Err(error)) => return Err(boot::failure(&error.to_string(), &console, &messages)),
            Err(_) => {
                let reason = format!("its agent did not answer within {} s", limit.as_secs());
                return Err(boot::failure(&reason, &console, &messages));
            }
        };
        self.booted(processes)
    }

    fn booted(&self, processes: BootedProcesses) -> Result<(), SandboxError> {
        let identify =
            |pid| identity::identify(pid).map_err(|error| SandboxError::failed("find the VM's processes", error));
        let (vmm, files) = (identify(processes.vmm)?, identify(processes.file_server)?);
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        (record.vmm, record.virtiofsd) = (Some(vmm), Some(files));
        Ok(())
    }
}

#[async_trait]
impl Sandbox for VmSandbox {
    fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    fn record(&self) -> SandboxRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn attachment(&self) -> Attachment {
        Attachment::Link(NetworkAttachment::Tap)
    }

    async fn start(&self, link: Option<LinkEnd>) -> Result<(), SandboxError> {
        let result = self.boot(link).await;
        if result.is_err() {
            // Whatever has started goes, and the shim of no VM is of no use.
            self.shim.kill().await;
            let (spec, record) = (self.spec.clone(), self.record());
            if let Err(error) = blocking(move || leftovers::kill(&spec, Some(&record))).await {
                tracing::warn!(%error, "a VM that did not boot");
            }
        }
        result
    }

    fn check_container(&self, spec: &ContainerSpec) -> Result<(), SandboxError> {
        check::container(spec)
    }

    async fn stage(&self, spec: ContainerSpec) -> Result<ContainerSpec, SandboxError> {
        let (share, dir) = (boot::share(&self.spec), self.spec.dir.clone());
        blocking(move || {
            let plan = plan(spec, &dir)?;
            share::stage(&share, &plan)?;
            Ok(plan.spec)
        })
        .await
    }

    async fn release(&self, container: &str) -> Result<(), SandboxError> {
        let (share, container) = (boot::share(&self.spec), container.to_owned());
        if container.is_empty() || container.contains(['/', '.']) {
            return Err(SandboxError::failed("release a container", format!("{container:?} is no container id")));
        }
        blocking(move || share::release(&share, Path::new(&container))).await
    }

    fn pod(&self) -> Arc<dyn PodClient> {
        self.shim.clone()
    }

    async fn stop(&self) -> Result<Option<String>, SandboxError> {
        let stopped = self.shim.stop().await;
        let (spec, record) = (self.spec.clone(), self.record());
        blocking(move || {
            leftovers::kill(&spec, Some(&record))?;
            leftovers::unmount(&spec)
        })
        .await?;
        Ok(stopped?)
    }

    fn kill(&self, reason: &str) {
        self.shim.give_up(reason);
    }

    async fn resize(&self, cpus: Option<f64>, memory: Option<u64>) -> Result<(), SandboxError> {
        let (most_cpus, most_memory) = (f64::from(self.state.cpus), self.state.memory + RESERVE);
        if let Some(cpus) = cpus.filter(|cpus| *cpus > most_cpus) {
            return Err(SandboxError::Resources(format!(
                "the VM was booted with {most_cpus} CPUs and cannot have {cpus}"
            )));
        }
        if let Some(memory) = memory.filter(|memory| *memory > most_memory) {
            return Err(SandboxError::Resources(format!(
                "the VM was booted with {} MiB of RAM (and {} MiB for the VMM) and cannot have {} MiB in all",
                self.state.memory >> 20,
                RESERVE >> 20,
                memory >> 20
            )));
        }
        if let Some(memory) = memory.filter(|memory| *memory < most_memory) {
            return Err(SandboxError::Resources(format!(
                "the VM was booted for {} MiB in all and does not give memory back: with {} MiB it would be killed",
                most_memory >> 20,
                memory >> 20
            )));
        }
        Ok(())
    }
}
