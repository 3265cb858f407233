//! StopContainer, and the killing of containers.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use cofferdam_sandbox::PodError;
use cofferdam_store::{ContainerEntry, ContainerPhase};
use futures::future::join_all;
use tokio::time::Instant;

use super::state::{ContainerOperation, Containers};
use crate::error::Error;

const SIGKILL: i32 = 9;
/// How long a killed container may take to be gone before it is reported: a process in an uninterruptible wait.
const KILL_WAIT: Duration = Duration::from_secs(30);
/// How long a sandbox may take to answer that it has killed a container, before it is taken for hung and killed itself.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long the containers of a stopped pod may take to report their own exits before the sandbox goes.
const EXIT_WAIT: Duration = Duration::from_secs(2);

impl Containers {
    /// Asks a container to stop, and kills it after `grace`. A second call with less grace shortens the first.
    pub async fn stop(self: &Arc<Self>, entry: &ContainerEntry, grace: Duration) -> Result<(), Error> {
        if entry.phase() == ContainerPhase::Exited {
            return Ok(());
        }
        let deadline = Instant::now() + grace;
        self.deadlines().entry(entry.id.clone()).and_modify(|d| *d = deadline.min(*d)).or_insert(deadline);
        self.events.touch();
        let (containers, id, signal) = (self.clone(), entry.id.clone(), entry.stop_signal);
        let run = || async move {
            let result = containers.stop_then_kill(&id, signal).await;
            containers.deadlines().remove(&id);
            result
        };
        let stopped = self.operations.run(ContainerOperation::Stop(entry.id.clone()), run).await;
        if self.has_exited(&entry.id) {
            // A call that joined a stop which was just over has nobody else to take its deadline away.
            self.deadlines().remove(&entry.id);
        }
        stopped
    }

    async fn stop_then_kill(&self, id: &str, signal: i32) -> Result<(), Error> {
        let Some(entry) = self.table.get(id) else { return Ok(()) };
        let Some(sandbox) = self.live.get(&entry.sandbox) else {
            return self.wait_recorded(&entry).await;
        };
        let deadline = || self.deadlines().get(id).copied().unwrap_or_else(Instant::now);
        // A container that was only created has no process that could heed a signal.
        let heeds = entry.phase() == ContainerPhase::Running && deadline() > Instant::now();
        if heeds {
            let pod = sandbox.pod();
            // Who does not even answer has no more time than who does not heed.
            let signalled = tokio::select! {
                signalled = pod.signal(id, signal, false) => signalled,
                exited = self.wait_exited(id, deadline) => match exited {
                    true => return Ok(()),
                    false => Ok(()),
                },
            };
            match signalled {
                Ok(()) if self.wait_exited(id, deadline).await => return Ok(()),
                // What died under the request is killed like what does not heed it.
                Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.kill(&entry).await
    }

    /// Its sandbox is not among the live ones: who ended that, or has found it dead, is about to record the end of all
    /// its containers.
    async fn wait_recorded(&self, entry: &ContainerEntry) -> Result<(), Error> {
        let until = Instant::now() + ANSWER_WAIT;
        match self.wait_exited(&entry.id, || until).await {
            true => Ok(()),
            // The daemon has just started, and that sandbox does not answer.
            false => Err(Error::Unavailable(format!("pod sandbox {} is not recovered yet", entry.sandbox))),
        }
    }

    /// Kills every process of a container, and waits until its exit is recorded. A sandbox that does not answer is
    /// killed with all its containers.
    pub(super) async fn kill(&self, entry: &ContainerEntry) -> Result<(), Error> {
        let Some(sandbox) = self.live.get(&entry.sandbox) else { return self.wait_recorded(entry).await };
        let pod = sandbox.pod();
        match tokio::time::timeout(ANSWER_WAIT, pod.signal(&entry.id, SIGKILL, true)).await {
            Ok(Ok(()) | Err(PodError::Gone(_) | PodError::NotFound(_))) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                sandbox.kill(&format!("the sandbox did not answer the kill of a container within {ANSWER_WAIT:?}"))
            }
        }
        let until = Instant::now() + KILL_WAIT;
        if self.wait_exited(&entry.id, || until).await || self.live.get(&entry.sandbox).is_none() {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "container {} was killed {} s ago and is still there",
            entry.id,
            KILL_WAIT.as_secs()
        )))
    }

    /// Kills all containers of a live sandbox, and gives them a moment to report their own exits. A sandbox that does
    /// not answer in that moment is no matter: it is ended next.
    pub async fn kill_all(&self, sandbox: &str) {
        let Some(live) = self.live.get(sandbox) else { return };
        let (pod, until) = (live.pod(), Instant::now() + EXIT_WAIT);
        let mut running = self.of_sandbox(sandbox);
        running.retain(|c| c.exit().is_none() && c.phase() != ContainerPhase::Creating);
        let ends = running.iter().map(|container| {
            let pod = &pod;
            async move {
                // A sandbox that dies now ends them all the same.
                let killed = tokio::time::timeout_at(until, pod.signal(&container.id, SIGKILL, true)).await;
                killed.is_ok() && self.wait_exited(&container.id, || until).await
            }
        });
        join_all(ends).await;
    }

    fn deadlines(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.stop_deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
