//! Start-up: the store, the live shims, the network and the rules are brought to agree before the first RPC is served.
//!
//! The daemon never guesses: what lives is asked, what is dead is recorded as such, what was half-made is undone.

use std::sync::Arc;

use cofferdam_sandbox::Recovered;
use cofferdam_store::{ContainerPhase, SandboxEntry, SandboxPhase};

use crate::Error;
use crate::runtime::Runtime;

/// Exit code of containers that a reboot of the node ended.
const NODE_GONE: i32 = 255;
/// Exit code of containers whose shim died while no daemon looked.
const KILLED: i32 = 137;

impl Runtime {
    /// Recovers. Rules first: from before the daemon died until now the kernel has enforced the old ones.
    ///
    /// # Errors
    /// Only what makes serving unsafe: rules or links that cannot be restored.
    pub async fn recover(self: &Arc<Self>) -> Result<(), Error> {
        let entries = self.parts.store.sandboxes.list();
        let held: Vec<_> = entries.iter().filter(|e| !e.released).collect();
        let here = |e: &&&Arc<SandboxEntry>| e.boot_id == self.settings.boot_id;
        let pods = held
            .iter()
            .filter(here)
            .filter(|e| e.phase == SandboxPhase::Ready)
            .filter_map(|e| e.lease.as_ref().map(|lease| self.local_pod(e, lease)))
            .collect();
        self.parts.policy.restore(pods).await?;
        let leases: Vec<_> = held.iter().filter(here).filter_map(|e| e.lease.clone()).collect();
        self.parts.network.recover(&leases).await?;
        for entry in &entries {
            self.recover_pod(entry).await;
        }
        self.drop_orphans().await;
        Ok(())
    }

    async fn recover_pod(self: &Arc<Self>, entry: &Arc<SandboxEntry>) {
        let id = entry.spec.id.as_str();
        match entry.phase {
            SandboxPhase::Ready if entry.boot_id != self.settings.boot_id => {
                self.end_containers(id, NODE_GONE, "Unknown", "the node was restarted").await;
                self.mark_not_ready(id, "the node was restarted").await;
                self.release_in_background(id);
            }
            SandboxPhase::Ready => self.recover_ready(entry).await,
            SandboxPhase::NotReady if !entry.released => self.release_in_background(id),
            SandboxPhase::NotReady => {}
            SandboxPhase::Creating | SandboxPhase::Removing => {
                tracing::info!(sandbox = id, "undoing what was cut off");
                let (runtime, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    if let Err(error) = runtime.remove_pod_now(&id).await {
                        tracing::error!(sandbox = id, %error, "could not be undone; tried again at the next start");
                    }
                });
            }
        }
    }

    async fn recover_ready(self: &Arc<Self>, entry: &Arc<SandboxEntry>) {
        let id = entry.spec.id.as_str();
        let found = match self.factory(entry.spec.kind) {
            Ok(factory) => factory.recover(&entry.spec, entry.record.as_ref()).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match found {
            Ok(Recovered::Live(sandbox)) => {
                self.set_live(sandbox.clone());
                self.watch(sandbox.clone());
                self.catch_up(&*sandbox).await;
            }
            Ok(Recovered::Dead { reason, exits }) => {
                for exit in &exits {
                    self.record_exit(exit).await;
                }
                self.bury(id, &reason).await;
            }
            Err(error) => self.bury(id, &error.to_string()).await,
        }
    }

    async fn bury(self: &Arc<Self>, id: &str, reason: &str) {
        tracing::warn!(sandbox = id, reason, "the sandbox died while no daemon ran");
        self.end_containers(id, KILLED, "Error", reason).await;
        self.mark_not_ready(id, reason).await;
        self.release_in_background(id);
    }

    /// Containers that were half-made or half-removed, or whose sandbox is no more.
    async fn drop_orphans(self: &Arc<Self>) {
        for container in self.parts.store.containers.list() {
            let half = matches!(container.phase, ContainerPhase::Creating | ContainerPhase::Removing);
            if (half || self.parts.store.sandboxes.get(&container.sandbox).is_none())
                && let Err(error) = self.remove_container(&container.id).await
            {
                tracing::error!(container = container.id, %error, "left-over container");
            }
        }
    }
}
