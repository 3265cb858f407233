//! StartContainer.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::PodError;
use cofferdam_store::{ContainerPhase, Exit};

use crate::runtime::{nanos, now};
use crate::{Error, Runtime};

/// Exit code of a container whose command could not be executed, as runc and containerd have it.
const START_ERROR: i32 = 128;

pub(super) async fn start(
    runtime: &Arc<Runtime>,
    request: cri::StartContainerRequest,
) -> Result<cri::StartContainerResponse, Error> {
    let id = runtime.container(&request.container_id)?.id.clone();
    let run = {
        let (runtime, id) = (runtime.clone(), id.clone());
        || async move { start_now(&runtime, &id).await.map(|()| id) }
    };
    runtime.ops.run(format!("start {id}"), run).await?;
    Ok(cri::StartContainerResponse {})
}

async fn start_now(runtime: &Arc<Runtime>, id: &str) -> Result<(), Error> {
    let entry = runtime.container(id)?;
    match entry.phase {
        ContainerPhase::Created => {}
        // A retry finds that it was started, even if it has ended since.
        ContainerPhase::Running => return Ok(()),
        _ if entry.started_at != 0 => return Ok(()),
        _ => return Err(Error::Precondition(format!("container {id} has exited without being started"))),
    }
    let sandbox = runtime.sandbox_of(&entry)?;
    match sandbox.pod().start(id).await {
        Ok(status) => {
            runtime.record_running(id, status.pid, status.started_at.map_or_else(now, nanos)).await;
            runtime.announce(id, &entry.sandbox, cri::ContainerEventType::ContainerStartedEvent);
            Ok(())
        }
        Err(PodError::Gone(reason)) => Err(Error::Unavailable(reason)),
        Err(error) => {
            let exit = Exit { code: START_ERROR, reason: "StartError".into(), message: error.to_string(), at: now() };
            runtime.publish_exit(id, exit).await;
            Err(error.into())
        }
    }
}
