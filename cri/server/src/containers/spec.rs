//! Looks up what a container's spec is made of.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec};
use cofferdam_store::{ContainerEntry, SandboxEntry};

use super::state::Containers;
use crate::admission::ContainerAdmission;
use crate::error::Error;
use crate::images::Images;
use crate::spec::user::Identity;
use crate::spec::{self, ContainerInputs, ImageDefaults};

/// An image as a container sees it.
pub(super) struct ContainerImage {
    pub id: String,
    /// Repo digest, or the id where there is none.
    pub reference: String,
    pub defaults: ImageDefaults,
}

/// An image by id or name.
pub(super) fn container_image(images: &dyn Images, wanted: &str) -> Result<ContainerImage, Error> {
    if wanted.is_empty() {
        return Err(Error::Invalid("config.image.image: is empty".into()));
    }
    let found = images.find(wanted)?;
    let image = found.ok_or_else(|| Error::NotFound(format!("image {wanted:?} not found")))?;
    let config = images.config(&image.id)?;
    let runtime = config.config().clone().unwrap_or_default();
    let defaults = ImageDefaults {
        entrypoint: runtime.entrypoint().clone().unwrap_or_default(),
        cmd: runtime.cmd().clone().unwrap_or_default(),
        env: runtime.env().clone().unwrap_or_default(),
        working_dir: runtime.working_dir().clone().unwrap_or_default(),
        user: runtime.user().clone().unwrap_or_default(),
        stop_signal: runtime.stop_signal().clone().unwrap_or_default(),
        volumes: runtime.volumes().clone().unwrap_or_default(),
    };
    let reference = image.repo_digests.first().cloned().unwrap_or_else(|| image.id.clone());
    Ok(ContainerImage { id: image.id, reference, defaults })
}

impl Containers {
    /// The spec, and the user that the container runs as.
    pub(super) fn assemble(
        &self,
        pod: &SandboxEntry,
        entry: &ContainerEntry,
        image: &ContainerImage,
        admission: &ContainerAdmission,
        rootfs: ContainerRootfs,
    ) -> Result<(ContainerSpec, Identity), Error> {
        let users = self.users.of_image(&entry.image_id, &rootfs)?;
        let inputs = ContainerInputs {
            id: &entry.id,
            config: &entry.config,
            sandbox: &pod.spec,
            image: &image.defaults,
            users: &users,
            rootfs,
            seccomp: self.seccomp(&entry.config)?,
            pod_dir: &self.node.pod_dir(&pod.spec.id),
            files_dir: &self.node.files_dir(&pod.spec.id),
            volume_dir: self.node.volume_dir(&entry.id),
            sources: admission.sources(&entry.config),
            masked: admission.masked,
        };
        Ok(spec::container_spec(&inputs)?)
    }

    /// A privileged container has no filter, whatever it asks for: it could undo any.
    fn seccomp(&self, config: &cri::ContainerConfig) -> Result<Vec<u8>, Error> {
        let security = config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default();
        let profile = security.seccomp.as_ref().map(cri::SecurityProfile::profile_type);
        if security.privileged || profile.is_none_or(|p| p == cri::security_profile::ProfileType::Unconfined) {
            return Ok(Vec::new());
        }
        // Those of the default set open no call.
        let held = spec::held_capabilities(&security)?;
        let profile = self.node.seccomp.runtime_default(&held);
        profile.map_err(|e| Error::Internal(format!("seccomp profile RuntimeDefault: {e}")))
    }
}
