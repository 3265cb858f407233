//! StopPodSandbox.

use std::sync::Arc;

use super::state::{PodOperation, Pods};
use crate::containers::KILLED;
use crate::error::Error;

impl Pods {
    /// Kills the containers, ends the sandbox, cuts its traffic. Its link is deleted after the answer (the kernel takes
    /// tens of milliseconds for that); until then its address is not reused.
    pub async fn stop(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (pods, id) = (self.clone(), id.to_owned());
        let operation = PodOperation::Stop(id.clone());
        let run = || async move {
            pods.stop_now(&id).await;
            Ok(())
        };
        self.operations.run(operation, run).await
    }

    async fn stop_now(self: &Arc<Self>, id: &str) {
        if let Some(sandbox) = self.live.get(id) {
            self.containers.kill_all(id).await;
            self.live.take(id);
            if let Err(error) = self.node.policy.unbind(id).await {
                // `release` goes on with it, and keeps the address from others until then.
                tracing::warn!(sandbox = id, %error, "the pod's rules could not be taken away yet");
            }
            if let Err(error) = sandbox.stop().await {
                // `release` goes on with it; the pod is no longer reachable.
                tracing::warn!(sandbox = id, %error, "the sandbox could not be ended yet");
            }
        }
        self.containers.end_all(id, KILLED, "Error", "").await;
        self.mark_not_ready(id, "stopped").await;
        self.release_in_background(id);
    }
}
