//! StartContainer.

use std::sync::Arc;

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::PodError;
use cofferdam_store::{ContainerPhase, Exit};

use super::state::{ContainerOperation, Containers};
use crate::clock::{nanos, now};
use crate::error::Error;

/// Exit code of a container whose command could not be executed, as runc and containerd have it.
const START_ERROR: i32 = 128;

impl Containers {
    /// Lets a created container run.
    pub async fn start(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (containers, id) = (self.clone(), id.to_owned());
        let operation = ContainerOperation::Start(id.clone());
        self.operations.run(operation, || async move { containers.start_now(&id).await }).await
    }

    async fn start_now(&self, id: &str) -> Result<(), Error> {
        let entry = self.find(id)?;
        match entry.phase() {
            ContainerPhase::Created => {}
            // A retry finds that it was started, even if it has ended since.
            ContainerPhase::Running => return Ok(()),
            _ if entry.started_at() != 0 => return Ok(()),
            _ => return Err(Error::Precondition(format!("container {id} has exited without being started"))),
        }
        let sandbox = self.sandbox_of(&entry)?;
        match sandbox.pod().start(id).await {
            Ok(status) => {
                self.record_running(id, status.pid, status.started_at.map_or_else(now, nanos)).await;
                self.events.announce(id, &entry.sandbox, ContainerEventType::ContainerStartedEvent);
                Ok(())
            }
            Err(PodError::Gone(reason)) => Err(Error::Unavailable(reason)),
            Err(error) => {
                let reason = "StartError".into();
                self.publish_exit(id, Exit { code: START_ERROR, reason, message: error.to_string(), at: now() }).await;
                Err(error.into())
            }
        }
    }
}
