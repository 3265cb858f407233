//! Giving back what a pod sandbox had in the kernel: interface, addresses, rules, processes, cgroups, mounts.
//!
//! Clean-up never inherits a request's deadline and is tried until it is done. Until then the entry stays in the store,
//! so that a restart goes on with it, and the lease with it, so that nobody else gets the address.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_store::SandboxEntry;

use super::state::{PodOperation, Pods};
use crate::error::Error;
use crate::steps::PodStep;

/// Waits between tries: doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Pods {
    /// Releases, and goes on trying until done.
    pub(super) fn release_in_background(self: &Arc<Self>, id: &str) {
        let (pods, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move { pods.release(&id).await });
    }

    /// Releases a sandbox; returns when everything is gone. Calls for the same sandbox share one run.
    pub(super) async fn release(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (pods, id) = (self.clone(), id.to_owned());
        let operation = PodOperation::Release(id.clone());
        let run = || async move {
            let mut wait = FIRST_WAIT;
            while let Err(error) = pods.try_release(&id).await {
                tracing::warn!(sandbox = id, %error, "clean-up failed, trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_WAIT);
            }
            Ok(())
        };
        self.operations.run(operation, run).await
    }

    async fn try_release(&self, id: &str) -> Result<(), Error> {
        let Some(entry) = self.table.get(id) else { return Ok(()) };
        if entry.released() {
            return Ok(());
        }
        for step in PodStep::RELEASE {
            self.undo(*step, &entry).await?;
        }
        self.table.update(id, SandboxEntry::release).await?;
        Ok(())
    }
}
