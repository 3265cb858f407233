//! What the lifecycle of containers owns, and how containers are found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cofferdam_sandbox::Sandbox;
use cofferdam_store::{ContainerEntry, ContainerName, Reader, Table};
use tokio::time::Instant;

use super::users::UserFilesCache;
use crate::error::Error;
use crate::events::Events;
use crate::ids;
use crate::live::LiveReader;
use crate::node::Node;
use crate::operations::Operations;

/// What is done to a container by its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ContainerOperation {
    Start(String),
    Stop(String),
    Remove(String),
}

/// The containers of the node. See the module for who changes what.
pub(crate) struct Containers {
    pub(super) table: Table<ContainerEntry>,
    pub(super) live: LiveReader,
    pub(super) node: Arc<Node>,
    pub(super) events: Arc<Events>,
    pub(super) users: UserFilesCache,
    /// Creations under way, by name: a retry does not know the id yet.
    pub(super) creations: Operations<ContainerName, String>,
    pub(super) operations: Operations<ContainerOperation, ()>,
    /// One for each container with a stop under way: when it is killed at the latest.
    pub(super) stop_deadlines: Mutex<HashMap<String, Instant>>,
}

impl Containers {
    /// Takes over the table. Nothing runs yet.
    pub fn new(table: Table<ContainerEntry>, live: LiveReader, node: Arc<Node>, events: Arc<Events>) -> Self {
        Containers {
            table,
            live,
            node,
            events,
            users: UserFilesCache::default(),
            creations: Operations::default(),
            operations: Operations::default(),
            stop_deadlines: Mutex::default(),
        }
    }

    /// All records, for reading.
    pub fn records(&self) -> &Reader<ContainerEntry> {
        &self.table
    }

    /// A container that clients see, by id or unambiguous prefix.
    pub fn find(&self, id: &str) -> Result<Arc<ContainerEntry>, Error> {
        ids::find("container", id, &self.table, ContainerEntry::visible)
    }

    /// All containers of a sandbox, also those that clients do not see.
    pub fn of_sandbox(&self, sandbox: &str) -> Vec<Arc<ContainerEntry>> {
        self.table.list().into_iter().filter(|c| c.sandbox == sandbox).collect()
    }

    /// The live sandbox of a container.
    pub fn sandbox_of(&self, container: &ContainerEntry) -> Result<Arc<dyn Sandbox>, Error> {
        let (id, sandbox) = (&container.id, &container.sandbox);
        let gone = || Error::Precondition(format!("pod sandbox {sandbox} of container {id} is not running"));
        self.live.get(sandbox).ok_or_else(gone)
    }

    /// Drops what is remembered of an image that was removed.
    pub fn forget_image(&self, image: &str) {
        self.users.forget(image);
    }
}
