//! Removing pod sandboxes: of RemovePodSandbox, of a creation that failed, and of one that was cut off.

use std::sync::Arc;

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_store::SandboxEntry;

use super::state::{PodOperation, Pods};
use crate::error::Error;
use crate::steps::PodStep;

impl Pods {
    /// Stops, removes the containers, and forgets the sandbox once everything it had is gone. An absent one is a
    /// success.
    pub async fn remove(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (pods, id) = (self.clone(), id.to_owned());
        let operation = PodOperation::Remove(id.clone());
        self.operations.run(operation, || async move { pods.remove_now(&id).await }).await
    }

    async fn remove_now(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        self.stop(id).await?;
        for container in self.containers.of_sandbox(id) {
            // One that is just being made would go on making what is removed here; without its sandbox it ends soon.
            self.containers.wait_created(&container).await;
            self.containers.remove(&container.id).await?;
        }
        let Some(entry) = self.table.get(id) else { return Ok(()) };
        self.table.update(id, SandboxEntry::begin_removal).await?;
        self.release(id).await?;
        for step in PodStep::FORGET {
            self.undo(*step, &entry).await?;
        }
        if entry.visible() {
            self.events.announce(id, id, ContainerEventType::ContainerDeletedEvent);
        }
        Ok(())
    }
}
