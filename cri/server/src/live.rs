//! The live sandboxes. [`LiveSandboxes`] is the right to put one in and take one out, and belongs to `pods`; everybody
//! else looks them up by a [`LiveReader`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use cofferdam_sandbox::Sandbox;

type Map = HashMap<String, Arc<dyn Sandbox>>;

/// Looks up live sandboxes.
#[derive(Clone, Default)]
pub(crate) struct LiveReader(Arc<RwLock<Map>>);

impl LiveReader {
    /// The sandbox of this id, if it lives.
    pub fn get(&self, id: &str) -> Option<Arc<dyn Sandbox>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// Looks up live sandboxes, and changes which there are.
#[derive(Default)]
pub(crate) struct LiveSandboxes(LiveReader);

impl std::ops::Deref for LiveSandboxes {
    type Target = LiveReader;
    fn deref(&self) -> &LiveReader {
        &self.0
    }
}

impl LiveSandboxes {
    /// A view for those who only look.
    pub fn reader(&self) -> LiveReader {
        self.0.clone()
    }

    /// From now on it lives.
    pub fn insert(&self, sandbox: Arc<dyn Sandbox>) {
        let id = sandbox.spec().id.clone();
        self.0.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, sandbox);
    }

    /// From now on it does not. Who gets it ends it; a second caller gets nothing.
    pub fn take(&self, id: &str) -> Option<Arc<dyn Sandbox>> {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}
