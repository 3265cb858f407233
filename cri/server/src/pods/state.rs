//! What the lifecycle of pod sandboxes owns, and how they are found.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_cri_api::v1::ContainerEventType;
use cofferdam_sandbox::Sandbox;
use cofferdam_store::{PodName, Reader, SandboxEntry, Table};

use crate::containers::Containers;
use crate::error::Error;
use crate::events::Events;
use crate::ids;
use crate::live::LiveSandboxes;
use crate::node::Node;
use crate::operations::Operations;

/// What is done to a sandbox by its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum PodOperation {
    Stop(String),
    Release(String),
    Remove(String),
}

/// The pod sandboxes of the node. See the module for who changes what.
pub(crate) struct Pods {
    pub(super) table: Table<SandboxEntry>,
    pub(super) live: LiveSandboxes,
    pub(super) containers: Arc<Containers>,
    pub(super) node: Arc<Node>,
    pub(super) events: Arc<Events>,
    /// Creations under way, by name: a retry does not know the id yet.
    pub(super) creations: Operations<PodName, String>,
    pub(super) operations: Operations<PodOperation, ()>,
    /// Sandboxes that were ready when the last daemon ended, and of which this one does not know yet whether they live.
    pub(super) recovering: Mutex<HashSet<String>>,
    /// Held by who looks at the host ids of all pods and records those of another.
    pub(super) mapping: tokio::sync::Mutex<()>,
}

impl Pods {
    /// Takes over the table. Nothing runs until `recover`.
    pub fn new(
        table: Table<SandboxEntry>,
        live: LiveSandboxes,
        containers: Arc<Containers>,
        node: Arc<Node>,
        events: Arc<Events>,
    ) -> Self {
        let (creations, operations) = (Operations::default(), Operations::default());
        Pods {
            table,
            live,
            containers,
            node,
            events,
            creations,
            operations,
            recovering: Mutex::default(),
            mapping: Default::default(),
        }
    }

    /// All records, for reading.
    pub fn records(&self) -> &Reader<SandboxEntry> {
        &self.table
    }

    /// A pod sandbox that clients see, by id or unambiguous prefix.
    pub fn find(&self, id: &str) -> Result<Arc<SandboxEntry>, Error> {
        ids::find("pod sandbox", id, &self.table, SandboxEntry::visible)
    }

    /// The live sandbox of this id.
    pub fn live(&self, id: &str) -> Option<Arc<dyn Sandbox>> {
        self.live.get(id)
    }

    /// Those that are not recovered yet.
    pub(super) fn recovering(&self) -> MutexGuard<'_, HashSet<String>> {
        // Never left half-changed: each change is one insert or remove.
        self.recovering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready to NotReady.
    pub(super) async fn mark_not_ready(&self, id: &str, reason: &str) {
        let reason = reason.to_owned();
        match self.table.update_always(id, move |s| s.end(reason)).await {
            Ok(Some(true)) => self.events.announce(id, id, ContainerEventType::ContainerStoppedEvent),
            // A second StopPodSandbox is no news, nor is the end of a pod that nobody has seen.
            Ok(_) => {}
            Err(error) => tracing::error!(sandbox = id, %error, "NOTREADY could not be recorded"),
        }
    }
}
