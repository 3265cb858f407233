//! RunPodSandbox, by the steps of [`PodStep`].
//!
//! The pod's rules are in force before its interface is up; a pod that cannot be programmed does not start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{Attachment, Lease, NamespaceMode, Sandbox};
use cofferdam_store::{PodName, SandboxEntry, SandboxPhase};
use cofferdam_tenant::Tenant;

use super::files;
use super::policy::local_pod;
use super::state::Pods;
use crate::admission;
use crate::clock::now;
use crate::error::Error;
use crate::ids;
use crate::spec::{self, PodInputs};
use crate::steps::{self, Creation, PodStep};

/// How long a failed RunPodSandbox waits for its own clean-up.
const UNDO_WAIT: Duration = Duration::from_secs(5);

impl Pods {
    /// Makes a pod sandbox and answers its id. A repeated call joins the first, or finds what it made.
    pub async fn run(self: &Arc<Self>, config: cri::PodSandboxConfig, handler: String) -> Result<String, Error> {
        let metadata = config.metadata.clone().unwrap_or_default();
        let cri::PodSandboxMetadata { name, uid, namespace, attempt } = metadata;
        let name = PodName { namespace, name, uid, attempt };
        let (pods, key) = (self.clone(), name.clone());
        self.creations.run(key, || async move { pods.run_named(name, config, handler).await }).await
    }

    async fn run_named(
        self: &Arc<Self>,
        name: PodName,
        config: cri::PodSandboxConfig,
        handler: String,
    ) -> Result<String, Error> {
        if let Some(found) = self.table.find(|s| s.name() == name) {
            let id = &found.spec.id;
            match found.phase() {
                SandboxPhase::Ready if found.runtime_handler == handler => return Ok(id.clone()),
                SandboxPhase::Ready => {
                    return Err(Error::AlreadyExists(format!(
                        "pod sandbox {id} of this name and attempt runs by the handler {:?}, not {handler:?}",
                        found.runtime_handler
                    )));
                }
                SandboxPhase::NotReady => {
                    return Err(Error::AlreadyExists(format!(
                        "pod sandbox {id} of this name and attempt is stopped; remove it first"
                    )));
                }
                // What an earlier, failed try left is no obstacle.
                SandboxPhase::Creating | SandboxPhase::Removing => self.undo_creation(id).await?,
            }
        }
        let (entry, tenant) = self.draft(config, handler).await?;
        let id = entry.spec.id.clone();
        let creation = PodCreation { pods: self, entry, tenant, made: Mutex::default() };
        match steps::create(&creation, PodStep::CREATION, self.node.checkpoint()).await {
            Ok(()) => Ok(id),
            Err(error) => {
                if let Err(left) = self.undo_creation(&id).await {
                    tracing::error!(sandbox = id, error = %left, "what a failed RunPodSandbox left is not removed yet");
                }
                Err(error)
            }
        }
    }

    /// Removes what a try has left. The clean-up goes on for as long as it takes, the caller does not wait that long.
    async fn undo_creation(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        match tokio::time::timeout(UNDO_WAIT, self.remove(id)).await {
            Ok(removed) => removed,
            Err(_) => {
                Err(Error::Unavailable(format!("what a failed try left (pod sandbox {id}) is still being removed")))
            }
        }
    }

    /// The entry as far as it is known before anything is made, and whose pod it is.
    async fn draft(
        &self,
        config: cri::PodSandboxConfig,
        handler: String,
    ) -> Result<(SandboxEntry, Arc<Tenant>), Error> {
        spec::refuse::sandbox(&config)?;
        let node = &self.node;
        let admission = admission::admit_pod(node, &config, &handler).await?;
        let id = ids::new();
        let seccomp = node.seccomp.runtime_default(&[]);
        let spec = spec::sandbox_spec(PodInputs {
            dir: node.pod_dir(&id),
            id,
            config: &config,
            tenant: admission.tenant.name.clone(),
            kind: admission.kind,
            vm: admission.vm,
            user_namespace: admission.user_namespace,
            cgroup_root: &node.settings.cgroup_root,
            cgroup_driver: node.settings.cgroup_driver,
            init_seccomp: seccomp.map_err(|e| Error::Internal(format!("seccomp: {e}")))?,
        })?;
        let factory = node.factory(spec.kind)?;
        factory.check(&spec)?;
        if let Some(reason) = factory.unavailable() {
            return Err(Error::Precondition(reason));
        }
        let entry = SandboxEntry::new(spec, config.into(), handler, node.settings.boot_id.clone(), now());
        Ok((entry, admission.tenant))
    }
}

/// A RunPodSandbox under way.
struct PodCreation<'a> {
    pods: &'a Arc<Pods>,
    entry: SandboxEntry,
    tenant: Arc<Tenant>,
    made: Mutex<Made>,
}

/// What one step hands to the next.
#[derive(Default)]
struct Made {
    /// `None` with host network.
    lease: Option<Lease>,
    sandbox: Option<Arc<dyn Sandbox>>,
    link: Option<cofferdam_sandbox::LinkEnd>,
}

impl Creation for PodCreation<'_> {
    type Step = PodStep;

    async fn make(&self, step: PodStep) -> Result<(), Error> {
        match step {
            PodStep::Record => self.record().await,
            PodStep::Addresses => self.addresses().await,
            PodStep::Files => self.files().await,
            PodStep::Rules => self.rules().await,
            PodStep::Sandbox => self.sandbox().await,
            PodStep::Limits => self.limits().await,
            PodStep::Link => self.link().await,
            PodStep::Start => self.start().await,
            PodStep::Ready => self.ready().await,
        }
    }
}

impl PodCreation<'_> {
    fn id(&self) -> &str {
        &self.entry.spec.id
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> Option<Lease> {
        self.made().lease.clone()
    }

    fn made_sandbox(&self) -> Result<Arc<dyn Sandbox>, Error> {
        let made = self.made().sandbox.clone();
        made.ok_or_else(|| Error::Internal("RunPodSandbox has made no sandbox yet".into()))
    }

    async fn record(&self) -> Result<(), Error> {
        let pods = self.pods;
        // One at a time: two pods that ask for the same ids would both find them free.
        let _turn = match self.entry.spec.namespaces.user {
            Some(_) => Some(pods.mapping.lock().await),
            None => None,
        };
        admission::admit_host_ids(&pods.node.settings, &self.tenant, &self.entry, &pods.table.list())?;
        Ok(pods.table.put(self.entry.clone()).await?)
    }

    async fn addresses(&self) -> Result<(), Error> {
        if self.entry.spec.namespaces.network != NamespaceMode::Pod {
            return Ok(());
        }
        let network = &self.pods.node.network;
        let lease = network.allocate(self.id())?;
        let kept = lease.clone();
        let recorded = match self.pods.table.update(self.id(), move |s| s.keep_lease(kept)).await {
            Ok(Some(true)) => Ok(()),
            Ok(_) => Err(self.removed_meanwhile()),
            Err(error) => Err(error.into()),
        };
        if recorded.is_err() {
            // The record does not know of the lease, so nobody else would ever give it back.
            network.detach(&lease).await?;
            return recorded;
        }
        self.made().lease = Some(lease);
        Ok(())
    }

    async fn files(&self) -> Result<(), Error> {
        let spec = &self.entry.spec;
        let factory = self.pods.node.factory(spec.kind)?;
        files::write(spec, self.lease().as_ref(), &**factory).await
    }

    async fn rules(&self) -> Result<(), Error> {
        let Some(lease) = self.lease() else { return Ok(()) };
        let ports = self.pods.containers.ports_of(self.id());
        Ok(self.pods.node.policy.program(local_pod(&self.entry, &lease, ports)).await?)
    }

    async fn sandbox(&self) -> Result<(), Error> {
        let spec = &self.entry.spec;
        let sandbox = self.pods.node.factory(spec.kind)?.create(spec).await?;
        // From here on a failure finds the sandbox among the live ones and ends it.
        self.pods.live.insert(sandbox.clone());
        self.made().sandbox = Some(sandbox);
        Ok(())
    }

    async fn limits(&self) -> Result<(), Error> {
        match spec::own_limits(&self.entry.spec, &self.entry.config) {
            Some((cpus, memory)) => Ok(self.made_sandbox()?.resize(cpus, memory).await?),
            None => Ok(()),
        }
    }

    async fn link(&self) -> Result<(), Error> {
        let (Attachment::Link(to), Some(lease)) = (self.made_sandbox()?.attachment(), self.lease()) else {
            return Ok(());
        };
        let network = &self.pods.node.network;
        let link = network.attach(&lease, to).await?;
        network.up(&lease).await?;
        self.made().link = Some(link);
        Ok(())
    }

    async fn start(&self) -> Result<(), Error> {
        let link = self.made().link.take();
        Ok(self.made_sandbox()?.start(link).await?)
    }

    async fn ready(&self) -> Result<(), Error> {
        let (pods, id, sandbox) = (self.pods, self.id(), self.made_sandbox()?);
        let record = sandbox.record();
        if pods.table.update(id, move |s| s.become_ready(record)).await? != Some(true) {
            return Err(self.removed_meanwhile());
        }
        if pods.live.get(id).is_none() {
            return Err(Error::Unavailable(format!("pod sandbox {id} died at its start")));
        }
        pods.watch(sandbox);
        pods.events.announce(id, id, cri::ContainerEventType::ContainerCreatedEvent);
        pods.events.announce(id, id, cri::ContainerEventType::ContainerStartedEvent);
        Ok(())
    }

    fn removed_meanwhile(&self) -> Error {
        Error::Unavailable(format!("pod sandbox {} was removed meanwhile", self.id()))
    }
}
