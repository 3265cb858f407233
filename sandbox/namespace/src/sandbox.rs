//! One live namespace sandbox.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_pod_client::{Shim, blocking};
use cofferdam_sandbox::{
    Attachment, ContainerSpec, LinkEnd, NetworkAttachment, PodClient, PodError, Sandbox, SandboxError, SandboxRecord,
    SandboxSpec,
};

use crate::{leftovers, limits, plan};

/// One live namespace sandbox.
pub(crate) struct NamespaceSandbox {
    spec: SandboxSpec,
    shim: Arc<Shim>,
}

impl NamespaceSandbox {
    pub(crate) fn new(spec: SandboxSpec, shim: Arc<Shim>) -> Self {
        NamespaceSandbox { spec, shim }
    }
}

#[async_trait]
impl Sandbox for NamespaceSandbox {
    fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    fn record(&self) -> SandboxRecord {
        let shim = self.shim.identity().clone();
        SandboxRecord { shim, vmm: None, virtiofsd: None, netns: plan::netns(&self.spec) }
    }

    fn attachment(&self) -> Attachment {
        match plan::netns(&self.spec) {
            Some(netns) => Attachment::Link(NetworkAttachment::Netns(netns)),
            None => Attachment::Host,
        }
    }

    // The link is in its network namespace already, and the shim has made all else before it answered.
    async fn start(&self, _link: Option<LinkEnd>) -> Result<(), SandboxError> {
        match self.shim.gone() {
            Some(reason) => Err(PodError::Gone(reason).into()),
            None => Ok(()),
        }
    }

    // The runner refuses by OCI field what it cannot do; that a namespace sandbox cannot give it is only this.
    fn check_container(&self, spec: &ContainerSpec) -> Result<(), SandboxError> {
        let cgroup = spec.oci.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        match cgroup {
            Some(path) if path.starts_with(&self.spec.cgroup) && *path != *self.spec.cgroup => Ok(()),
            _ => Err(SandboxError::Unsupported {
                field: "linux.cgroups_path".into(),
                reason: format!("is not below the pod's cgroup {}", self.spec.cgroup),
            }),
        }
    }

    async fn stage(&self, spec: ContainerSpec) -> Result<ContainerSpec, SandboxError> {
        Ok(spec)
    }

    async fn release(&self, _container: &str) -> Result<(), SandboxError> {
        Ok(())
    }

    fn pod(&self) -> Arc<dyn PodClient> {
        self.shim.clone()
    }

    async fn stop(&self) -> Result<Option<String>, SandboxError> {
        let stopped = self.shim.stop().await?;
        let spec = self.spec.clone();
        blocking(move || leftovers::end(&spec)).await?;
        Ok(stopped)
    }

    fn kill(&self, reason: &str) {
        self.shim.give_up(reason);
    }

    async fn resize(&self, cpus: Option<f64>, memory: Option<u64>) -> Result<(), SandboxError> {
        // kubelet resizes the cgroup that it gave by itself, right after this.
        if !plan::owns_cgroup(&self.spec) {
            return Ok(());
        }
        let cgroup = self.spec.cgroup.clone();
        blocking(move || limits::apply(&cgroup, &limits::plan(cpus, memory))).await
    }
}
