//! Start-up: the store, the live shims, the network and the rules are brought to agree before the first RPC is served.
//!
//! The daemon never guesses: what lives is asked, what is dead is recorded as such, what was half-made is undone.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_sandbox::Recovered;
use cofferdam_store::{SandboxEntry, SandboxPhase};
use tokio::task::JoinSet;

use super::policy::local_pod;
use super::state::Pods;
use crate::containers::KILLED;
use crate::error::Error;

/// How long the daemon waits with its first answer for pods that are not recovered yet.
const RECOVERY: Duration = Duration::from_secs(5);

/// Exit code of containers that a reboot of the node ended.
const NODE_GONE: i32 = 255;

impl Pods {
    /// Recovers. Rules first: from before the daemon died until now the kernel has enforced the old ones.
    ///
    /// # Errors
    /// Only what makes serving unsafe: rules or links that cannot be restored.
    pub async fn recover(self: &Arc<Self>) -> Result<(), Error> {
        let entries = self.table.list();
        let held: Vec<_> =
            entries.iter().filter(|e| !e.released() && e.boot_id == self.node.settings.boot_id).collect();
        let ready = held.iter().filter(|e| e.phase() == SandboxPhase::Ready);
        let ports = |e: &SandboxEntry| self.containers.ports_of(&e.spec.id);
        let pods = ready.filter_map(|e| e.lease().map(|lease| local_pod(e, lease, ports(e)))).collect();
        self.node.policy.restore(pods).await?;
        let leases: Vec<_> = held.iter().filter_map(|e| e.lease().cloned()).collect();
        self.node.network.recover(&leases).await?;
        self.containers.remove_orphans(|sandbox| self.table.get(sandbox).is_some()).await;
        self.recover_pods(entries).await;
        Ok(())
    }

    /// All of them at once, and each in a task of its own: one that is hung delays neither the others nor, for longer
    /// than a moment, the daemon. Until it is found alive or dead, its record says what was last known of it.
    async fn recover_pods(self: &Arc<Self>, entries: Vec<Arc<SandboxEntry>>) {
        let mut recoveries = JoinSet::new();
        for entry in entries {
            let pods = self.clone();
            recoveries.spawn(async move {
                pods.recover_pod(&entry).await;
                pods.containers.remove_half_made(&entry.spec.id).await;
            });
        }
        let all = async { while recoveries.join_next().await.is_some() {} };
        if tokio::time::timeout(RECOVERY, all).await.is_err() {
            tracing::warn!(left = recoveries.len(), "some pods are not recovered yet; that goes on in the background");
            recoveries.detach_all();
        }
    }

    async fn recover_pod(self: &Arc<Self>, entry: &SandboxEntry) {
        let id = entry.spec.id.as_str();
        match entry.phase() {
            SandboxPhase::Ready if entry.boot_id != self.node.settings.boot_id => {
                self.containers.end_all(id, NODE_GONE, "Unknown", "the node was restarted").await;
                self.mark_not_ready(id, "the node was restarted").await;
                self.release_in_background(id);
            }
            SandboxPhase::Ready => self.recover_ready(entry).await,
            SandboxPhase::NotReady if !entry.released() => self.release_in_background(id),
            SandboxPhase::NotReady => {}
            SandboxPhase::Creating | SandboxPhase::Removing => {
                tracing::info!(sandbox = id, "undoing what was cut off");
                let (pods, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    if let Err(error) = pods.remove(&id).await {
                        tracing::error!(sandbox = id, %error, "could not be undone; tried again at the next start");
                    }
                });
            }
        }
    }

    async fn recover_ready(self: &Arc<Self>, entry: &SandboxEntry) {
        let id = entry.spec.id.as_str();
        self.recovering().insert(id.to_owned());
        self.find_again(entry).await;
        self.recovering().remove(id);
    }

    async fn find_again(self: &Arc<Self>, entry: &SandboxEntry) {
        let id = entry.spec.id.as_str();
        let found = match self.node.factory(entry.spec.kind) {
            Ok(factory) => factory.recover(&entry.spec, entry.record()).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match found {
            Ok(Recovered::Live(sandbox)) => {
                self.live.insert(sandbox.clone());
                self.watch(sandbox.clone());
                self.catch_up(&*sandbox).await;
            }
            Ok(Recovered::Dead { reason, exits }) => {
                for exit in &exits {
                    self.containers.record_exit(exit).await;
                }
                self.died_unwatched(id, &reason).await;
            }
            Err(error) => self.died_unwatched(id, &error.to_string()).await,
        }
    }

    async fn died_unwatched(self: &Arc<Self>, id: &str, reason: &str) {
        tracing::warn!(sandbox = id, reason, "the sandbox died while no daemon ran");
        self.containers.end_all(id, KILLED, "Error", reason).await;
        self.mark_not_ready(id, reason).await;
        self.release_in_background(id);
    }
}
