//! CreateContainer, by the steps of [`ContainerStep`].

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec, Sandbox};
use cofferdam_store::{ContainerEntry, ContainerName, ContainerPhase, NewContainer, SandboxEntry};
use oci_spec::runtime::Process;

use super::log;
use super::spec::{ContainerImage, container_image};
use super::state::Containers;
use super::volumes::make_volumes;
use crate::admission::{self, ContainerAdmission};
use crate::clock::now;
use crate::error::Error;
use crate::files::blocking;
use crate::ids;
use crate::spec;
use crate::steps::{self, ContainerStep, Creation};

impl Containers {
    /// Makes a container in a sandbox that is ready, and answers its id. A repeated call joins the first, or finds what
    /// it made, unless that has exited.
    pub async fn create(
        self: &Arc<Self>,
        pod: Arc<SandboxEntry>,
        config: cri::ContainerConfig,
    ) -> Result<String, Error> {
        let metadata = config.metadata.clone().unwrap_or_default();
        let name = ContainerName { sandbox: pod.spec.id.clone(), name: metadata.name, attempt: metadata.attempt };
        let (containers, key) = (self.clone(), name.clone());
        self.creations.run(key, || async move { containers.create_named(pod, config, name).await }).await
    }

    async fn create_named(
        self: &Arc<Self>,
        pod: Arc<SandboxEntry>,
        config: cri::ContainerConfig,
        name: ContainerName,
    ) -> Result<String, Error> {
        if let Some(found) = self.table.find(|c| c.visible() && c.name() == name) {
            return match found.phase() {
                // It has run: a new one of the same name is no retry, and its logs would be those of the old one.
                ContainerPhase::Exited => Err(Error::AlreadyExists(format!(
                    "container {} of this name ({}) and attempt ({}) has exited; remove it first",
                    found.id, name.name, name.attempt
                ))),
                _ => Ok(found.id.clone()),
            };
        }
        // What an earlier, failed try left is no obstacle.
        if let Some(left) = self.table.find(|c| c.name() == name) {
            self.remove(&left.id).await?;
        }
        let creation = self.draft(pod, config, name).await?;
        let id = creation.entry.id.clone();
        match steps::create(&creation, ContainerStep::CREATION, self.node.checkpoint()).await {
            Ok(()) => Ok(id),
            Err(error) => {
                creation.release_dead().await;
                if let Err(left) = self.remove(&id).await {
                    tracing::error!(container = id, error = %left, "left over by a failed CreateContainer until the next start");
                }
                Err(error)
            }
        }
    }

    /// The entry as far as it is known before anything is made.
    async fn draft(
        self: &Arc<Self>,
        pod: Arc<SandboxEntry>,
        config: cri::ContainerConfig,
        name: ContainerName,
    ) -> Result<ContainerCreation, Error> {
        spec::refuse::container(&config, &pod.spec)?;
        let admission = Arc::new(admission::admit_container(&self.node, &pod, &config).await?);
        let wanted = config.image.as_ref().map(|i| i.image.as_str()).unwrap_or_default();
        let image = container_image(&*self.node.images, wanted)?;
        let log_directory = &pod.config.log_directory;
        let log_path = match (log_directory.is_empty(), config.log_path.is_empty()) {
            (false, false) => Path::new(log_directory).join(&config.log_path),
            _ => PathBuf::new(),
        };
        let mut entry = ContainerEntry::new(NewContainer {
            id: ids::new(),
            name,
            image_id: image.id.clone(),
            image_ref: image.reference.clone(),
            log_path,
            stop_signal: spec::stop_signal(&config, &image.defaults.stop_signal)?,
            config: config.into(),
            created_at: now(),
        });
        entry.resources = spec::resources::told(&entry.resources).into();
        let image = Arc::new(image);
        Ok(ContainerCreation { containers: self.clone(), pod, entry, image, admission, made: Mutex::default() })
    }
}

/// A CreateContainer under way.
struct ContainerCreation {
    containers: Arc<Containers>,
    pod: Arc<SandboxEntry>,
    entry: ContainerEntry,
    image: Arc<ContainerImage>,
    admission: Arc<ContainerAdmission>,
    made: Mutex<Made>,
}

/// What one step hands to the next.
#[derive(Default)]
struct Made {
    sandbox: Option<Arc<dyn Sandbox>>,
    rootfs: Option<ContainerRootfs>,
    spec: Option<ContainerSpec>,
    /// The process as it is kept for execs: as it was before staging.
    process: Process,
    user: (i64, i64, Vec<i64>),
    log: Option<OwnedFd>,
}

impl Creation for ContainerCreation {
    type Step = ContainerStep;

    async fn make(&self, step: ContainerStep) -> Result<(), Error> {
        match step {
            ContainerStep::Record => self.record().await,
            ContainerStep::Rootfs => self.rootfs().await,
            ContainerStep::Volumes => self.volumes().await,
            ContainerStep::Spec => self.spec().await,
            ContainerStep::Ports => self.containers.program_ports(&self.entry.sandbox).await,
            ContainerStep::Log => self.log(),
            ContainerStep::Stage => self.stage().await,
            ContainerStep::Process => self.process().await,
            ContainerStep::Created => self.created().await,
        }
    }
}

impl ContainerCreation {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandbox(&self) -> Result<Arc<dyn Sandbox>, Error> {
        self.made().sandbox.clone().ok_or_else(|| missing("sandbox"))
    }

    /// The undo of a step asks the live sandbox. What this creation staged while its sandbox was being stopped, only
    /// the sandbox that staged it can undo.
    async fn release_dead(&self) {
        let sandbox = self.made().sandbox.take().filter(|_| self.containers.live.get(&self.entry.sandbox).is_none());
        if let Some(sandbox) = sandbox
            && let Err(error) = sandbox.release(&self.entry.id).await
        {
            tracing::warn!(container = self.entry.id, %error, "what was staged goes with the pod's directory");
        }
    }

    fn take_spec(&self) -> Result<ContainerSpec, Error> {
        self.made().spec.take().ok_or_else(|| missing("spec"))
    }

    async fn record(&self) -> Result<(), Error> {
        self.containers.table.put(self.entry.clone()).await?;
        let sandbox = self.containers.sandbox_of(&self.entry)?;
        self.made().sandbox = Some(sandbox);
        Ok(())
    }

    async fn rootfs(&self) -> Result<(), Error> {
        let rootfs = self.containers.node.images.prepare_rootfs(&self.entry.id, &self.entry.image_id).await?;
        self.made().rootfs = Some(rootfs);
        Ok(())
    }

    async fn volumes(&self) -> Result<(), Error> {
        let dir = self.containers.node.volume_dir(&self.entry.id);
        let rootfs = self.made().rootfs.clone().ok_or_else(|| missing("root file system"))?;
        let sources = self.admission.sources(&self.entry.config);
        make_volumes(dir, self.image.defaults.volumes.clone(), rootfs, &self.entry.config, sources).await
    }

    /// Reads what strangers wrote, the image's passwd and environment; so not on the threads that answer requests.
    async fn spec(&self) -> Result<(), Error> {
        let rootfs = self.made().rootfs.take().ok_or_else(|| missing("root file system"))?;
        let (containers, pod, entry) = (self.containers.clone(), self.pod.clone(), self.entry.clone());
        let (image, admission) = (self.image.clone(), self.admission.clone());
        let (spec, identity) = blocking(move || containers.assemble(&pod, &entry, &image, &admission, rootfs)).await?;
        self.sandbox()?.check_container(&spec)?;
        let mut made = self.made();
        made.process = spec.oci.process().clone().unwrap_or_default();
        made.user = (identity.uid, identity.gid, identity.groups);
        made.spec = Some(spec);
        Ok(())
    }

    fn log(&self) -> Result<(), Error> {
        let path = &self.entry.log_path;
        if !path.as_os_str().is_empty() {
            self.made().log = Some(log::open(path)?.into());
        }
        Ok(())
    }

    async fn stage(&self) -> Result<(), Error> {
        let spec = self.take_spec()?;
        let staged = self.sandbox()?.stage(spec).await?;
        self.made().spec = Some(staged);
        Ok(())
    }

    async fn process(&self) -> Result<(), Error> {
        let spec = self.take_spec()?;
        let log = self.made().log.take();
        self.sandbox()?.pod().create(&spec, log).await?;
        Ok(())
    }

    async fn created(&self) -> Result<(), Error> {
        let (process, user) = {
            let mut made = self.made();
            (std::mem::take(&mut made.process), std::mem::take(&mut made.user))
        };
        let (containers, ContainerEntry { id, sandbox, .. }) = (&self.containers, &self.entry);
        let created = containers.table.update(id, move |c| c.become_created(process, user)).await?;
        // A sandbox that ended meanwhile did not see this container, and nothing would ever end it.
        if created != Some(true) || containers.live.get(sandbox).is_none() {
            return Err(Error::Precondition(format!("pod sandbox {sandbox} was stopped meanwhile")));
        }
        containers.events.announce(id, sandbox, cri::ContainerEventType::ContainerCreatedEvent);
        Ok(())
    }
}

fn missing(what: &str) -> Error {
    Error::Internal(format!("a step of CreateContainer made no {what}"))
}
