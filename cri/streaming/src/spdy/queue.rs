//! The queue between the session and the reader of one stream.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The session's end: what it puts in is read by the stream's reader.
#[derive(Clone)]
pub(super) struct Inbound {
    pub(super) queue: mpsc::UnboundedSender<Chunk>,
    pub(super) room: Arc<Semaphore>,
}

impl Inbound {
    /// The reader is gone.
    pub(super) fn is_unread(&self) -> bool {
        self.queue.is_closed()
    }
}

/// Received data, and the room it takes until it is read: in its stream and in the session.
pub(super) struct Chunk {
    pub(super) data: Bytes,
    pub(super) _room: [OwnedSemaphorePermit; 2],
}
