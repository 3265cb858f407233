//! Watches live sandboxes: records the exits of their containers and their own death.

use std::sync::Arc;

use cofferdam_sandbox::{PodEvent, Recovered, Sandbox};
use tokio::sync::broadcast::error::RecvError;

use super::state::Pods;
use crate::containers::KILLED;

impl Pods {
    /// Follows a live sandbox until it is gone or no longer ours.
    pub(super) fn watch(self: &Arc<Self>, sandbox: Arc<dyn Sandbox>) {
        let pods = self.clone();
        let mut events = sandbox.pod().events();
        tokio::spawn(async move {
            let id = sandbox.spec().id.clone();
            loop {
                match events.recv().await {
                    Ok(PodEvent::Exited(exit)) => pods.containers.record_exit(&exit).await,
                    Ok(PodEvent::Gone(reason)) => return pods.sandbox_died(&id, &reason).await,
                    Err(RecvError::Lagged(_)) => pods.catch_up(&*sandbox).await,
                    Err(RecvError::Closed) => {
                        return pods.sandbox_died(&id, "the connection to its shim is lost").await;
                    }
                }
            }
        });
    }

    /// Takes over what the shim knows.
    pub(super) async fn catch_up(&self, sandbox: &dyn Sandbox) {
        match sandbox.pod().list().await {
            Ok(containers) => self.containers.catch_up(&containers).await,
            // Its death is announced as an event of its own.
            Err(error) => tracing::warn!(sandbox = sandbox.spec().id, %error, "the shim does not answer"),
        }
    }

    /// A sandbox died by itself: its pod is over, and nothing of it is started again here; kubelet does that.
    async fn sandbox_died(self: &Arc<Self>, id: &str, reason: &str) {
        // A sandbox that StopPodSandbox took away ends like this as well; there it is no news.
        let Some(sandbox) = self.live.take(id) else { return };
        tracing::warn!(sandbox = id, reason, "the sandbox died");
        if let Err(error) = sandbox.stop().await {
            tracing::warn!(sandbox = id, %error, "what is left of it could not be ended yet");
        }
        let spec = sandbox.spec();
        if let Ok(factory) = self.node.factory(spec.kind)
            && let Ok(Recovered::Dead { exits, .. }) = factory.recover(spec, Some(&sandbox.record())).await
        {
            for exit in &exits {
                self.containers.record_exit(exit).await;
            }
        }
        self.containers.end_all(id, KILLED, "Error", reason).await;
        self.mark_not_ready(id, reason).await;
        self.release_in_background(id);
    }
}
