//! Watches live sandboxes: records the exits of their containers and their own death.
//!
//! An exit is published once: whoever comes first (the event, the list after a reconnect, the exit records of a dead
//! shim, the verdict 137 on a dead sandbox) wins, the others find the container exited.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::{ContainerExit, ContainerState, PodEvent, Recovered, Sandbox};
use cofferdam_store::{ContainerPhase, Exit, SandboxPhase};
use tokio::sync::broadcast::error::RecvError;

use crate::runtime::{Runtime, nanos, now};

/// Exit code of a container whose sandbox died under it.
const KILLED: i32 = 137;

impl Runtime {
    /// Follows a live sandbox until it is gone or no longer ours.
    pub(crate) fn watch(self: &Arc<Self>, sandbox: Arc<dyn Sandbox>) {
        let runtime = self.clone();
        let mut events = sandbox.pod().events();
        tokio::spawn(async move {
            let id = sandbox.spec().id.clone();
            loop {
                match events.recv().await {
                    Ok(PodEvent::Exited(exit)) => runtime.record_exit(&exit).await,
                    Ok(PodEvent::Gone(reason)) => return runtime.sandbox_died(&id, &reason).await,
                    Err(RecvError::Lagged(_)) => runtime.catch_up(&*sandbox).await,
                    Err(RecvError::Closed) => {
                        return runtime.sandbox_died(&id, "the connection to its shim is lost").await;
                    }
                }
            }
        });
    }

    /// Takes over what the shim knows: what ended while nobody listened, and what runs.
    pub(crate) async fn catch_up(&self, sandbox: &dyn Sandbox) {
        let containers = match sandbox.pod().list().await {
            Ok(containers) => containers,
            // Its death is announced as an event of its own.
            Err(error) => return tracing::warn!(sandbox = sandbox.spec().id, %error, "the shim does not answer"),
        };
        for status in containers {
            if let Some(exit) = &status.exit {
                self.record_exit(exit).await;
            } else if status.state == ContainerState::Running {
                self.record_running(&status.id, status.pid, status.started_at.map_or_else(now, nanos)).await;
            }
        }
    }

    /// The container runs: after a start that the daemon did not live to record, too.
    pub(crate) async fn record_running(&self, id: &str, pid: u32, started_at: i64) {
        let change = self.parts.store.containers.update_always(id, move |c| {
            if c.phase == ContainerPhase::Created {
                c.phase = ContainerPhase::Running;
            }
            // The exit of a short-lived container may have been recorded first.
            if c.started_at == 0 {
                c.started_at = c.exit.as_ref().map_or(started_at, |exit| started_at.min(exit.at));
            }
            if c.phase == ContainerPhase::Running {
                c.pid = pid;
            }
        });
        if let Err(error) = change.await {
            tracing::error!(container = id, %error, "a start could not be recorded");
        }
        self.touch();
    }

    /// Publishes an exit, once.
    pub(crate) async fn record_exit(&self, exit: &ContainerExit) {
        let reason = match exit {
            ContainerExit { oom: true, .. } => "OOMKilled",
            ContainerExit { code: 0, .. } => "Completed",
            _ => "Error",
        };
        let exit = (
            exit.container.clone(),
            Exit { code: exit.code, reason: reason.into(), message: String::new(), at: nanos(exit.at) },
        );
        self.publish_exit(&exit.0, exit.1).await;
    }

    /// See [`Runtime::record_exit`].
    pub(crate) async fn publish_exit(&self, id: &str, exit: Exit) {
        let Some(before) = self.parts.store.containers.get(id) else { return };
        if before.exit.is_some() {
            return;
        }
        let news = Arc::new(AtomicBool::new(false));
        let first = news.clone();
        let change = self.parts.store.containers.update_always(id, move |c| {
            if c.exit.is_none() {
                first.store(true, Relaxed);
                c.exit = Some(exit);
                c.pid = 0;
                if c.phase != ContainerPhase::Removing {
                    c.phase = ContainerPhase::Exited;
                }
            }
        });
        if let Err(error) = change.await {
            tracing::error!(container = id, %error, "an exit could not be recorded");
        }
        if news.load(Relaxed) {
            self.announce(id, &before.sandbox, ContainerEventType::ContainerStoppedEvent);
        }
    }

    /// A sandbox died by itself (DESIGN 2, "What happens when something dies").
    pub(crate) async fn sandbox_died(self: &Arc<Self>, id: &str, reason: &str) {
        // A sandbox that StopPodSandbox took away ends like this as well; there it is no news.
        let Some(sandbox) = self.take_live(id) else { return };
        tracing::warn!(sandbox = id, reason, "the sandbox died");
        if let Err(error) = sandbox.stop().await {
            tracing::warn!(sandbox = id, %error, "what is left of it could not be ended yet");
        }
        let spec = sandbox.spec().clone();
        if let Ok(factory) = self.factory(spec.kind)
            && let Ok(Recovered::Dead { exits, .. }) = factory.recover(&spec, Some(&sandbox.record())).await
        {
            for exit in &exits {
                self.record_exit(exit).await;
            }
        }
        self.end_containers(id, KILLED, "Error", reason).await;
        self.mark_not_ready(id, reason).await;
        self.release_in_background(id);
    }

    /// Every container of a dead sandbox that has no exit gets this one.
    pub(crate) async fn end_containers(&self, sandbox: &str, code: i32, reason: &str, message: &str) {
        for container in self.containers_of(sandbox) {
            if container.phase == ContainerPhase::Creating || container.exit.is_some() {
                continue;
            }
            let exit = Exit { code, reason: reason.into(), message: message.into(), at: now() };
            self.publish_exit(&container.id, exit).await;
        }
    }

    /// READY to NOTREADY.
    pub(crate) async fn mark_not_ready(&self, id: &str, reason: &str) {
        let reason = reason.to_owned();
        let news = Arc::new(AtomicBool::new(false));
        let first = news.clone();
        let change = self.parts.store.sandboxes.update_always(id, move |s| {
            if s.phase == SandboxPhase::Ready {
                first.store(true, Relaxed);
                s.phase = SandboxPhase::NotReady;
                s.reason = reason;
            }
        });
        if let Err(error) = change.await {
            tracing::error!(sandbox = id, %error, "NOTREADY could not be recorded");
        }
        // A second StopPodSandbox is no news, nor is the end of a pod that nobody has seen.
        if news.load(Relaxed) {
            self.announce(id, id, ContainerEventType::ContainerStoppedEvent);
        }
    }
}
