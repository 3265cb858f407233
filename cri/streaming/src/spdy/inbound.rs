//! The receiving direction of a stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{Semaphore, mpsc};

use super::Frame;
use super::queue::{Chunk, Inbound};
use super::shared::{Message, Shared};
use super::window::ReceiveWindow;

/// Received bytes that one stream may hold unread. More than the window, for peers that know no windows: while a stream
/// is this full, nothing of the whole session is read.
pub(super) const STREAM_ROOM: usize = 128 * 1024;

/// How often a peer is probed while its data finds no room.
const PROBE: Duration = Duration::from_secs(3);

/// Reads what the peer sends on a stream. The end comes with its FIN, with a reset, and with the end of the session.
pub(crate) struct StreamRead {
    id: u32,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Chunk>,
    room: Arc<Semaphore>,
    chunk: Option<Chunk>,
    window: ReceiveWindow,
}

impl StreamRead {
    pub(super) fn new(id: u32, shared: Arc<Shared>) -> (Inbound, Self) {
        let (sender, queue) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(STREAM_ROOM));
        let inbound = Inbound { queue: sender, room: Arc::clone(&room) };
        (inbound, Self { id, shared, queue, room, chunk: None, window: ReceiveWindow::default() })
    }
}

impl AsyncRead for StreamRead {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let chunk = match &mut this.chunk {
            Some(chunk) => chunk,
            None => match ready!(this.queue.poll_recv(context)) {
                Some(chunk) => this.chunk.insert(chunk),
                None => return Poll::Ready(Ok(())),
            },
        };
        let taken = chunk.data.len().min(buffer.remaining());
        buffer.put_slice(&chunk.data[..taken]);
        chunk.data.advance(taken);
        if chunk.data.is_empty() {
            this.chunk = None;
        }
        this.shared.consumed(taken);
        if let Some(delta) = this.window.consumed(taken) {
            this.shared.grow_stream_of_peer(this.id, delta);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamRead {
    fn drop(&mut self) {
        // Wakes the session's reader if it waits for room here.
        self.room.close();
        self.queue.close();
        let mut unread = self.chunk.take().map_or(0, |c| c.data.len());
        while let Ok(chunk) = self.queue.try_recv() {
            unread += chunk.data.len();
        }
        self.shared.consumed(unread);
        self.shared.abandon(self.id);
    }
}

impl Shared {
    /// Hands data to a stream's reader; waits while it holds too much unread. `false`: nobody reads it any more.
    pub(super) async fn deliver(&self, inbound: &Inbound, data: Bytes) -> bool {
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let rooms = async {
            let of_stream = Arc::clone(&inbound.room).acquire_many_owned(bytes).await.ok()?;
            Some([of_stream, Arc::clone(&self.in_room).acquire_many_owned(bytes).await.ok()?])
        };
        tokio::pin!(rooms);
        loop {
            tokio::select! {
                rooms = &mut rooms => {
                    let Some(rooms) = rooms else { return false };
                    return inbound.queue.send(Chunk { data, _room: rooms }).is_ok();
                }
                () = self.closed.cancelled() => return false,
                () = tokio::time::sleep(PROBE) => self.probe(),
            }
        }
    }

    /// While nothing is read, a peer that has died is not noticed: its FIN queues behind its data. What is written to
    /// its closed socket is answered by a RST, though. An odd PING that the peer did not send must be ignored by it.
    fn probe(&self) {
        const UNASKED: u32 = 0x7fff_ffff;
        if let Ok(permit) = Arc::clone(&self.out_room).try_acquire_many_owned(64) {
            let _ = self.out.send(Message::Frame(Frame::Ping(UNASKED), Some(permit)));
        }
    }
}
