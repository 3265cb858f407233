//! Stopping and removing pod sandboxes.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_store::{ContainerPhase, SandboxEntry, SandboxPhase};
use tokio::time::Instant;

use crate::Error;
use crate::containers::{create_key, remove_dir};
use crate::runtime::Runtime;

/// Exit code of what StopPodSandbox had to kill together with its sandbox.
const KILLED: i32 = 137;
/// How long the containers of a stopped pod may take to report their own exits before the sandbox goes.
const EXIT_WAIT: Duration = Duration::from_secs(2);

impl Runtime {
    /// Kills the containers, ends the sandbox, cuts its traffic. Its link is deleted after the answer (the kernel takes
    /// tens of milliseconds for that); until then its address is not reused.
    pub(crate) async fn stop_pod(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (runtime, owned) = (self.clone(), id.to_owned());
        let run = || async move { runtime.stop_pod_now(&owned).await.map(|()| owned) };
        self.ops.run(format!("stop {id}"), run).await.map(|_| ())
    }

    async fn stop_pod_now(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        if let Some(sandbox) = self.live(id) {
            self.kill_containers(id).await;
            self.take_live(id);
            if let Err(error) = self.parts.policy.unbind(id).await {
                // `release` goes on with it, and keeps the address from others until then.
                tracing::warn!(sandbox = id, %error, "the pod's rules could not be taken away yet");
            }
            if let Err(error) = sandbox.stop().await {
                // `release` goes on with it; the pod is no longer reachable.
                tracing::warn!(sandbox = id, %error, "the sandbox could not be ended yet");
            }
        }
        self.end_containers(id, KILLED, "Error", "").await;
        self.mark_not_ready(id, "stopped").await;
        self.release_in_background(id);
        Ok(())
    }

    async fn kill_containers(&self, sandbox: &str) {
        let Some(live) = self.live(sandbox) else { return };
        let pod = live.pod();
        let running: Vec<_> = self
            .containers_of(sandbox)
            .into_iter()
            .filter(|c| c.exit.is_none() && c.phase != ContainerPhase::Creating)
            .collect();
        for container in &running {
            // A sandbox that dies now ends them all the same.
            let _ = pod.signal(&container.id, 9, true).await;
        }
        let until = Instant::now() + EXIT_WAIT;
        for container in &running {
            self.wait_exited(&container.id, || until).await;
        }
    }

    /// Stops, removes the containers, and forgets the sandbox once everything it had is gone.
    pub(crate) async fn remove_pod(self: &Arc<Self>, entry: &SandboxEntry) -> Result<(), Error> {
        let (runtime, id) = (self.clone(), entry.spec.id.clone());
        let run = || async move { runtime.remove_pod_now(&id).await.map(|()| id) };
        self.ops.run(format!("remove {}", entry.spec.id), run).await.map(|_| ())
    }

    pub(crate) async fn remove_pod_now(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        self.stop_pod(id).await?;
        for container in self.containers_of(id) {
            // One that is just being made would go on making what is removed here; without its sandbox it ends soon.
            self.ops.wait(&create_key(&container.key())).await;
            self.remove_container(&container.id).await?;
        }
        let visible = self.parts.store.sandboxes.get(id).is_some_and(|s| crate::convert::pod_visible(&s));
        self.parts.store.sandboxes.update(id, |s| s.phase = SandboxPhase::Removing).await?;
        self.release(id).await?;
        remove_dir(&self.pod_dir(id)).await?;
        self.parts.store.sandboxes.remove(id).await?;
        if visible {
            self.announce(id, id, ContainerEventType::ContainerDeletedEvent);
        }
        Ok(())
    }
}
