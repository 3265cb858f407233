//! UpdateContainerResources.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::{ContainerEntry, ContainerPhase};

use super::state::Containers;
use crate::error::Error;
use crate::spec::resources::{merge, read_back, to_oci};

impl Containers {
    /// Changes limits in place, and records those that the kernel took.
    pub async fn update(
        &self,
        entry: &ContainerEntry,
        asked: Option<&cri::LinuxContainerResources>,
    ) -> Result<(), Error> {
        if !matches!(entry.phase(), ContainerPhase::Created | ContainerPhase::Running) {
            return Err(Error::Precondition(format!("container {} has exited", entry.id)));
        }
        let Some(asked) = asked else { return Ok(()) };
        let sandbox = self.sandbox_of(entry)?;
        let applied = sandbox.pod().update(&entry.id, &to_oci(asked)?).await?;
        let in_force = read_back(merge(&entry.resources, asked), &applied);
        self.table.update(&entry.id, move |c| c.resources = in_force.into()).await?;
        Ok(())
    }
}
