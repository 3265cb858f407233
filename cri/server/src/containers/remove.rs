//! Removing containers: of RemoveContainer, of a removed pod, of a creation that failed, and of one that was cut off.

use std::sync::Arc;

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::PodError;
use cofferdam_store::{ContainerEntry, ContainerPhase};

use super::exits::KILLED;
use super::state::{ContainerOperation, Containers};
use crate::error::Error;
use crate::files::discard;
use crate::steps::ContainerStep;

impl Containers {
    /// Removes a container in any state with all that belongs to it; a running one is killed. An absent one is a
    /// success.
    pub async fn remove(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (containers, id) = (self.clone(), id.to_owned());
        let operation = ContainerOperation::Remove(id.clone());
        self.operations.run(operation, || async move { containers.remove_now(&id).await }).await
    }

    async fn remove_now(&self, id: &str) -> Result<(), Error> {
        let Some(entry) = self.table.get(id) else { return Ok(()) };
        if matches!(entry.phase(), ContainerPhase::Running | ContainerPhase::Created) {
            self.kill(&entry).await?;
        }
        self.table.update(id, ContainerEntry::begin_removal).await?;
        for step in ContainerStep::REMOVAL {
            self.undo(*step, &entry).await?;
        }
        if entry.visible() {
            self.events.announce(id, &entry.sandbox, ContainerEventType::ContainerDeletedEvent);
        }
        Ok(())
    }

    /// Undoes a step, whether it was done or not.
    async fn undo(&self, step: ContainerStep, entry: &ContainerEntry) -> Result<(), Error> {
        let id = &entry.id;
        match step {
            ContainerStep::Process => match self.live.get(&entry.sandbox) {
                Some(sandbox) => match sandbox.pod().delete(id).await {
                    Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error.into()),
                },
                None => Ok(()),
            },
            ContainerStep::Stage => match self.live.get(&entry.sandbox) {
                Some(sandbox) => Ok(sandbox.release(id).await?),
                None => Ok(()),
            },
            ContainerStep::Rootfs => Ok(self.node.images.remove_rootfs(id).await?),
            ContainerStep::Volumes => discard(&self.node.volume_trash, self.node.volume_dir(id)).await,
            ContainerStep::Record => Ok(self.table.remove(id).await?),
            ContainerStep::Spec | ContainerStep::Ports | ContainerStep::Log | ContainerStep::Created => Ok(()),
        }
    }

    /// Waits for the end of the creation of this container, if there is one under way.
    pub async fn wait_created(&self, entry: &ContainerEntry) {
        self.creations.wait(&entry.name()).await;
    }

    /// Removes, after a restart of the daemon, what has no sandbox any more.
    pub async fn remove_orphans(self: &Arc<Self>, has_sandbox: impl Fn(&str) -> bool) {
        for container in self.table.list().iter().filter(|container| !has_sandbox(&container.sandbox)) {
            self.end_all(&container.sandbox, KILLED, "Error", "its pod sandbox is gone").await;
        }
        self.remove_left(|container| !has_sandbox(&container.sandbox)).await;
    }

    /// Removes, after a restart of the daemon, what was half-made or half-removed in this sandbox.
    pub async fn remove_half_made(self: &Arc<Self>, sandbox: &str) {
        let half = |phase| matches!(phase, ContainerPhase::Creating | ContainerPhase::Removing);
        self.remove_left(|container| container.sandbox == sandbox && half(container.phase())).await;
    }

    async fn remove_left(self: &Arc<Self>, left: impl Fn(&ContainerEntry) -> bool) {
        for container in self.table.list().iter().filter(|container| left(container)) {
            if let Err(error) = self.remove(&container.id).await {
                tracing::error!(container = container.id, %error, "left-over container");
            }
        }
    }
}
