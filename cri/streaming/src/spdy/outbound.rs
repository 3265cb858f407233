//! The sending direction of a stream.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::Frame;
use super::shared::Shared;

/// Largest DATA frame that is sent, and what a writer may be ahead of the connection, bytes.
const PIECE: usize = 32 * 1024;

/// Our direction of a stream: what is written to `pipe` becomes DATA frames, its drop or shutdown the FIN. Writes fail
/// once the stream is reset or the session over.
pub(crate) struct StreamWrite {
    /// For whoever writes.
    pub(crate) pipe: DuplexStream,
    /// Ends with `true` when everything and the FIN are queued for the connection; with `false` when they cannot be.
    pub(crate) done: JoinHandle<bool>,
}

impl StreamWrite {
    /// Sends a last message and the FIN.
    pub(crate) async fn close_with(mut self, message: &[u8]) {
        // An error says that the stream is gone, and with it whoever the message is for.
        let _ = self.pipe.write_all(message).await;
        drop(self.pipe);
        let _ = self.done.await;
    }
}

/// Opens our direction of stream `id`.
pub(crate) fn open_write(shared: &Arc<Shared>, id: u32) -> StreamWrite {
    let (pipe, from) = tokio::io::duplex(PIECE);
    let shared = Arc::clone(shared);
    let done = tokio::spawn(async move {
        let Some(reset) = shared.reset_token(id) else { return false };
        tokio::select! {
            () = reset.cancelled() => false,
            () = shared.closed.cancelled() => false,
            whole = pump(&shared, id, from) => whole,
        }
    });
    StreamWrite { pipe, done }
}

async fn pump(shared: &Shared, id: u32, mut from: DuplexStream) -> bool {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match from.read_buf(&mut buffer).await {
            Ok(1..) => {}
            // A duplex pipe knows no errors.
            Ok(0) | Err(_) => {
                shared.finish(id);
                return true;
            }
        }
        while !buffer.is_empty() {
            let Some(free) = shared.take_window(id, buffer.len().min(PIECE)).await else { return false };
            let data = buffer.split_to(free).freeze();
            shared.send_paced(Frame::Data { id, fin: false, data }).await;
        }
    }
}
