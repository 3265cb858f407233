//! Giving back what a pod sandbox had in the kernel: interface, addresses, rules, processes, cgroups, mounts.
//!
//! Clean-up never inherits a request's deadline and is tried until it is done. Until then the entry stays in the store,
//! so that a restart goes on with it, and the lease with it, so that nobody else gets the address.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::runtime::Runtime;

/// Waits between tries: doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Runtime {
    /// Releases, and goes on trying until done.
    pub(crate) fn release_in_background(self: &Arc<Self>, id: &str) {
        let (runtime, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move { runtime.release(&id).await });
    }

    /// Releases a sandbox; returns when everything is gone. Calls for the same sandbox share one run.
    pub(crate) async fn release(self: &Arc<Self>, id: &str) -> Result<(), Error> {
        let (runtime, id) = (self.clone(), id.to_owned());
        let key = format!("release {id}");
        let run = || async move {
            let mut wait = FIRST_WAIT;
            while let Err(error) = runtime.try_release(&id).await {
                tracing::warn!(sandbox = id, %error, "clean-up failed, trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_WAIT);
            }
            Ok(String::new())
        };
        self.ops.run(key, run).await.map(|_| ())
    }

    async fn try_release(&self, id: &str) -> Result<(), Error> {
        let Some(entry) = self.parts.store.sandboxes.get(id) else { return Ok(()) };
        if entry.released {
            return Ok(());
        }
        // First nobody may speak as the pod any more, then its link goes, then what it ran.
        self.parts.policy.unbind(id).await?;
        if let Some(lease) = &entry.lease {
            self.parts.network.detach(lease).await?;
        }
        let factory = self.factory(entry.spec.kind)?;
        factory.remove_leftovers(&entry.spec, entry.record.as_ref()).await?;
        self.parts.store.sandboxes.update(id, |s| s.released = true).await?;
        Ok(())
    }
}
