//! Makes and recovers namespace sandboxes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_pod_client::{Adopted, Launcher, blocking, files};
use cofferdam_sandbox::{Recovered, Sandbox, SandboxError, SandboxFactory, SandboxKind, SandboxRecord, SandboxSpec};

use crate::sandbox::NamespaceSandbox;
use crate::{cgroups, leftovers, plan};

/// The factory of namespace sandboxes. It keeps no state: all there is to know is in a sandbox's spec, record and
/// directory.
pub struct NamespaceFactory {
    launcher: Arc<Launcher>,
}

impl NamespaceFactory {
    /// Sandboxes whose shims this launcher starts (the factory of VMs may share it).
    pub fn new(launcher: Arc<Launcher>) -> Self {
        NamespaceFactory { launcher }
    }

    async fn try_create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let prepared = spec.clone();
        blocking(move || {
            std::fs::create_dir_all(&prepared.dir)
                .map_err(|error| SandboxError::failed(format!("make {}", prepared.dir.display()), error))?;
            cgroups::make(&prepared)
        })
        .await?;
        let shim = self.launcher.launch(&plan::shim_config(spec)).await?;
        Ok(Arc::new(NamespaceSandbox::new(spec.clone(), shim)))
    }
}

#[async_trait]
impl SandboxFactory for NamespaceFactory {
    fn kind(&self) -> SandboxKind {
        SandboxKind::Namespace
    }

    fn unavailable(&self) -> Option<String> {
        None
    }

    fn check(&self, spec: &SandboxSpec) -> Result<(), SandboxError> {
        plan::check(spec)
    }

    async fn bound_files(&self, dir: &Path, bytes: u64) -> Result<(), SandboxError> {
        let dir = dir.to_owned();
        blocking(move || {
            files::bound(&dir, bytes).map_err(|error| SandboxError::failed(format!("mount {}", dir.display()), error))
        })
        .await
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        plan::check(spec)?;
        match self.try_create(spec).await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                if let Err(left) = self.remove_leftovers(spec, None).await {
                    tracing::error!(sandbox = spec.id, error = %left, "what a failed start left");
                }
                Err(error)
            }
        }
    }

    async fn recover(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<Recovered, SandboxError> {
        let Some(record) = record else {
            let reason = "the daemon died before it had recorded its shim".into();
            return Ok(Recovered::Dead { reason, exits: Vec::new() });
        };
        Ok(match self.launcher.adopt(&spec.dir, &record.shim).await? {
            Adopted::Live(shim) => Recovered::Live(Arc::new(NamespaceSandbox::new(spec.clone(), shim))),
            Adopted::Dead { reason, exits } => Recovered::Dead { reason, exits },
        })
    }

    async fn remove_leftovers(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<(), SandboxError> {
        let (spec, shim) = (spec.clone(), record.map(|record| record.shim.clone()));
        blocking(move || {
            leftovers::kill_shim(&spec, shim.as_ref())?;
            leftovers::end(&spec)?;
            leftovers::forget(&spec)
        })
        .await
    }
}
