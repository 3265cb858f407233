//! StopPodSandbox.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_sandbox::Sandbox;

use super::state::{PodOperation, Pods};
use crate::containers::KILLED;
use crate::error::Error;

/// How long a sandbox may take to end, hung or not. With the moment that its containers have before, StopPodSandbox
/// stays below 10 s.
const END_WAIT: Duration = Duration::from_millis(7500);

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
        let mut cause = None;
        if let Some(sandbox) = self.live.get(id) {
            self.containers.kill_all(id).await;
            self.live.take(id);
            cause = self.end(&*sandbox).await;
        } else if self.recovering().contains(id) {
            // Nobody waits for it any longer: `release` kills what there is of it.
            cause = Some("its shim had not answered since the daemon was started, and was killed".into());
        }
        self.containers.end_all(id, KILLED, "Error", cause.as_deref().unwrap_or_default()).await;
        self.mark_not_ready(id, cause.as_deref().unwrap_or("stopped")).await;
        self.release_in_background(id);
    }

    /// Cuts its traffic and ends it. Answers why it had to be killed, if it had to.
    async fn end(&self, sandbox: &dyn Sandbox) -> Option<String> {
        let id = sandbox.spec().id.as_str();
        // `release` goes on with whatever fails here: it keeps the address from others until the rules are gone, and
        // the pod is no longer reachable.
        let cut = async {
            if let Err(error) = self.node.policy.unbind(id).await {
                tracing::warn!(sandbox = id, %error, "the pod's rules could not be taken away yet");
            }
        };
        match tokio::time::timeout(END_WAIT, async { tokio::join!(cut, sandbox.stop()).1 }).await {
            Ok(Ok(cause)) => cause,
            Ok(Err(error)) => {
                tracing::warn!(sandbox = id, %error, "the sandbox could not be ended yet");
                Some(error.to_string())
            }
            Err(_) => {
                tracing::warn!(sandbox = id, "the sandbox does not end in time");
                Some(format!("the sandbox did not end within {END_WAIT:?}, although it was killed"))
            }
        }
    }
}
