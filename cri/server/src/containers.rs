//! Stopping, killing and removing containers: shared by the container and the pod RPCs.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::PodError;
use cofferdam_store::{ContainerEntry, ContainerPhase};
use tokio::time::Instant;

use crate::Error;
use crate::runtime::Runtime;

const SIGKILL: i32 = 9;
/// How long a killed container may take to be gone before it is reported: a process in an uninterruptible wait.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// The operation that makes the container of this name (its entry's `key`).
pub(crate) fn create_key(name: &str) -> String {
    format!("create {name}")
}

impl Runtime {
    /// Waits until a container has exited (true) or the deadline passes. The deadline is asked for anew at every change,
    /// so that it can be shortened.
    pub(crate) async fn wait_exited(&self, id: &str, deadline: impl Fn() -> Instant) -> bool {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.parts.store.containers.get(id).is_none_or(|c| c.exit.is_some()) {
                return true;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return false },
                () = tokio::time::sleep_until(deadline()) => return false,
            }
        }
    }

    /// Asks a container to stop, and kills it after `grace`. A second call with less grace shortens the first.
    pub(crate) async fn stop_container(self: &Arc<Self>, entry: &ContainerEntry, grace: Duration) -> Result<(), Error> {
        if entry.phase == ContainerPhase::Exited {
            return Ok(());
        }
        let deadline = Instant::now() + grace;
        {
            let mut stops = self.stops.lock().unwrap_or_else(|p| p.into_inner());
            stops.entry(entry.id.clone()).and_modify(|d| *d = deadline.min(*d)).or_insert(deadline);
        }
        self.touch();
        let (runtime, id, signal) = (self.clone(), entry.id.clone(), entry.stop_signal);
        let run = || async move {
            let result = runtime.stop_then_kill(&id, signal).await;
            runtime.stops.lock().unwrap_or_else(|p| p.into_inner()).remove(&id);
            result.map(|()| id)
        };
        let stopped = self.ops.run(format!("stop {}", entry.id), run).await.map(|_| ());
        if self.parts.store.containers.get(&entry.id).is_none_or(|c| c.exit.is_some()) {
            // A call that joined a stop which was just over has nobody else to take its deadline away.
            self.stops.lock().unwrap_or_else(|p| p.into_inner()).remove(&entry.id);
        }
        stopped
    }

    async fn stop_then_kill(self: &Arc<Self>, id: &str, signal: i32) -> Result<(), Error> {
        let Some(entry) = self.parts.store.containers.get(id) else { return Ok(()) };
        let Some(sandbox) = self.live(&entry.sandbox) else {
            // The watcher is just about to record the end of all its containers.
            return Ok(());
        };
        let deadline =
            || self.stops.lock().unwrap_or_else(|p| p.into_inner()).get(id).copied().unwrap_or_else(Instant::now);
        // A container that was only created has no process that could heed a signal.
        let heeds = entry.phase == ContainerPhase::Running && deadline() > Instant::now();
        if heeds {
            match sandbox.pod().signal(id, signal, false).await {
                Ok(()) if self.wait_exited(id, deadline).await => return Ok(()),
                // What died under the request is killed like what does not heed it.
                Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.kill_container(&entry).await
    }

    /// Kills every process of a container, and waits until its exit is recorded.
    pub(crate) async fn kill_container(&self, entry: &ContainerEntry) -> Result<(), Error> {
        let Some(sandbox) = self.live(&entry.sandbox) else { return Ok(()) };
        match sandbox.pod().signal(&entry.id, SIGKILL, true).await {
            Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let until = Instant::now() + KILL_WAIT;
        if self.wait_exited(&entry.id, || until).await || self.live(&entry.sandbox).is_none() {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "container {} was killed {} s ago and is still there",
            entry.id,
            KILL_WAIT.as_secs()
        )))
    }

    /// Removes a container in any state with all that belongs to it.
    pub(crate) async fn remove_container(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (runtime, owned) = (self.clone(), id.to_owned());
        let run = || async move { runtime.remove_container_now(&owned).await.map(|()| owned) };
        self.ops.run(format!("remove {id}"), run).await.map(|_| ())
    }

    async fn remove_container_now(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let Some(entry) = self.parts.store.containers.get(id) else { return Ok(()) };
        if matches!(entry.phase, ContainerPhase::Running | ContainerPhase::Created) {
            self.kill_container(&entry).await?;
        }
        let visible = crate::convert::container_visible(&entry);
        self.parts.store.containers.update(id, |c| c.phase = ContainerPhase::Removing).await?;
        self.discard_container(&entry).await?;
        self.parts.store.containers.remove(id).await?;
        if visible {
            self.announce(id, &entry.sandbox, ContainerEventType::ContainerDeletedEvent);
        }
        Ok(())
    }

    /// Everything of a container but its entry. Idempotent.
    pub(crate) async fn discard_container(&self, entry: &ContainerEntry) -> Result<(), Error> {
        if let Some(sandbox) = self.live(&entry.sandbox) {
            match sandbox.pod().delete(&entry.id).await {
                Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            sandbox.release(&entry.id).await?;
        }
        self.parts.images.remove_rootfs(&entry.id).await?;
        remove_dir(&self.volume_dir(&entry.id)).await
    }
}

/// Removes a directory of ours; an absent one is a success. Files below it may be a container's, so links are not followed
/// (which `remove_dir_all` never does).
pub(crate) async fn remove_dir(path: &std::path::Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Internal(format!("remove {}: {error}", path.display()))),
    }
}
