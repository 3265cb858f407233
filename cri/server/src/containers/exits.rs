//! Records that containers run and that they have ended.
//!
//! An exit is published once: whoever comes first (the event, the list after a reconnect, the exit records of a dead
//! shim, the verdict 137 on a dead sandbox) wins, the others find the container exited.

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::{ContainerExit, ContainerState, ContainerStatus};
use cofferdam_store::{ContainerPhase, Exit};
use tokio::time::Instant;

use super::state::Containers;
use crate::clock::{nanos, now};

/// Exit code of a container that SIGKILL ended, or whose sandbox died under it.
pub(crate) const KILLED: i32 = 137;

impl Containers {
    /// Takes over what a shim knows of its containers: what ended while nobody listened, and what runs.
    pub async fn catch_up(&self, containers: &[ContainerStatus]) {
        for status in containers {
            if let Some(exit) = &status.exit {
                self.record_exit(exit).await;
            } else if status.state == ContainerState::Running {
                self.record_running(&status.id, status.pid, status.started_at.map_or_else(now, nanos)).await;
            }
        }
    }

    /// The container runs: after a start that the daemon did not live to record, too.
    pub(super) async fn record_running(&self, id: &str, pid: u32, started_at: i64) {
        if let Err(error) = self.table.update_always(id, move |c| c.run(pid, started_at)).await {
            tracing::error!(container = id, %error, "a start could not be recorded");
        }
        self.events.touch();
    }

    /// Publishes an exit that a shim has told.
    pub async fn record_exit(&self, exit: &ContainerExit) {
        let reason = match exit {
            ContainerExit { oom: true, .. } => "OOMKilled",
            ContainerExit { code: 0, .. } => "Completed",
            _ => "Error",
        };
        let told = Exit { code: exit.code, reason: reason.into(), message: String::new(), at: nanos(exit.at) };
        self.publish_exit(&exit.container, told).await;
    }

    /// Publishes an exit if it is the first.
    pub(super) async fn publish_exit(&self, id: &str, exit: Exit) {
        let Some(before) = self.table.get(id) else { return };
        if before.exit().is_some() {
            return;
        }
        match self.table.update_always(id, move |c| c.end(exit)).await {
            Ok(Some(true)) => self.events.announce(id, &before.sandbox, ContainerEventType::ContainerStoppedEvent),
            Ok(_) => {}
            Err(error) => tracing::error!(container = id, %error, "an exit could not be recorded"),
        }
    }

    /// Every container of a dead sandbox that has no exit gets this one.
    pub async fn end_all(&self, sandbox: &str, code: i32, reason: &str, message: &str) {
        for container in self.of_sandbox(sandbox) {
            if container.phase() == ContainerPhase::Creating || container.exit().is_some() {
                continue;
            }
            let exit = Exit { code, reason: reason.into(), message: message.into(), at: now() };
            self.publish_exit(&container.id, exit).await;
        }
    }

    /// Waits until a container has exited (true) or the deadline passes. The deadline is asked for anew at every
    /// change, so that it can be shortened.
    pub(super) async fn wait_exited(&self, id: &str, deadline: impl Fn() -> Instant) -> bool {
        let mut changes = self.events.changes();
        loop {
            changes.borrow_and_update();
            if self.has_exited(id) {
                return true;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return false },
                () = tokio::time::sleep_until(deadline()) => return false,
            }
        }
    }

    /// Whether it has an exit, or is not there any more.
    pub(super) fn has_exited(&self, id: &str) -> bool {
        self.table.get(id).is_none_or(|c| c.exit().is_some())
    }
}
