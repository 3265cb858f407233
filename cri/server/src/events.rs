//! News of pods and containers: for GetContainerEvents, and for those who wait for a change inside the server.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::{ContainerEntry, Reader, SandboxEntry};
use tokio::sync::{broadcast, watch};

use crate::clock::now;
use crate::present;

/// Events that a slow client may be behind before it is cut off.
const BACKLOG: usize = 1024;

/// News of pods and containers.
pub(crate) struct Events {
    sandboxes: Reader<SandboxEntry>,
    containers: Reader<ContainerEntry>,
    sender: broadcast::Sender<cri::ContainerEventResponse>,
    /// Counts the changes; waiters look again at each.
    changed: watch::Sender<u64>,
    /// Set once, when the daemon is about to end.
    ending: watch::Sender<bool>,
}

impl Events {
    /// No news yet.
    pub fn new(sandboxes: Reader<SandboxEntry>, containers: Reader<ContainerEntry>) -> Self {
        let (sender, changed, ending) = (broadcast::channel(BACKLOG).0, watch::channel(0).0, watch::channel(false).0);
        Events { sandboxes, containers, sender, changed, ending }
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<cri::ContainerEventResponse> {
        self.sender.subscribe()
    }

    /// Ends the streams that would never end by themselves.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when the streams are to end.
    pub fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // A server that is gone is an end as well.
            let _ = ending.wait_for(|ending| *ending).await;
        }
    }

    /// Tells waiters to look again.
    pub fn touch(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Changes from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Announces a change of a container, or of a sandbox by its own id, to clients and to waiters.
    pub fn announce(&self, id: &str, sandbox: &str, kind: cri::ContainerEventType) {
        self.touch();
        let containers = self.containers.list();
        let visible = containers.iter().filter(|c| c.sandbox == sandbox && c.visible());
        // Nobody may be listening.
        let _ = self.sender.send(cri::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at: now(),
            pod_sandbox_status: self.sandboxes.get(sandbox).map(|s| present::pods::status(&s)),
            containers_statuses: visible.map(|c| present::containers::status(c)).collect(),
        });
    }
}
