//! Requests to the agent that it has not answered.

use std::collections::BTreeMap;

use cofferdam_pod_api::{Op, Request};

use crate::serve::Origin;

/// All of them, by the number under which they were sent.
pub(super) struct Questions {
    pending: BTreeMap<u64, Pending>,
    next: u64,
}

/// One request.
pub(super) struct Pending {
    /// Who asked; `None` if it is gone, or was the shim itself.
    pub(super) origin: Option<Origin>,
    pub(super) expects: Expects,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expects {
    /// The guest is set up; asked by the shim itself.
    Setup,
    /// The guest has ended its containers; asked by the shim itself.
    Stop,
    /// A new container's status.
    Created(String),
    /// A started container's status.
    Started(String),
    /// The container is forgotten.
    Deleted(String),
    /// A stream was opened.
    Opened(u32),
    /// Done.
    Empty,
    /// Limits in force.
    Resources,
    /// Resource use.
    Stats,
}

impl Default for Questions {
    fn default() -> Self {
        Questions { pending: BTreeMap::new(), next: 1 }
    }
}

impl Questions {
    /// A new request, as it is sent.
    pub(super) fn ask(&mut self, origin: Option<Origin>, op: Op, expects: Expects) -> Request {
        let id = self.next;
        self.next += 1;
        self.pending.insert(id, Pending { origin, expects });
        Request { id, fds: 0, op: Some(op) }
    }

    /// The request that an answer belongs to.
    pub(super) fn answered(&mut self, id: u64) -> Option<Pending> {
        self.pending.remove(&id)
    }

    /// A connection is over: nobody there waits for answers.
    pub(super) fn forget(&mut self, connection: u32) {
        for pending in self.pending.values_mut() {
            pending.origin = pending.origin.filter(|origin| origin.connection != connection);
        }
    }

    /// No answer will come any more: who still waits for one.
    pub(super) fn abandon(&mut self) -> Vec<Origin> {
        std::mem::take(&mut self.pending).into_values().filter_map(|pending| pending.origin).collect()
    }
}
