//! What the listener and its connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::StreamBackend;
use crate::tokens::Tokens;

pub(crate) struct ServerState {
    tokens: Mutex<Tokens>,
    /// Who runs what the clients ask for.
    pub(crate) backend: Arc<dyn StreamBackend>,
    /// Cancelled when the server ends.
    pub(crate) stop: CancellationToken,
}

impl ServerState {
    pub(crate) fn new(backend: Arc<dyn StreamBackend>, stop: CancellationToken) -> Self {
        Self { tokens: Mutex::default(), backend, stop }
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
