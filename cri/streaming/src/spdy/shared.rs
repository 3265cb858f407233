//! What the tasks of one session share. Only the methods here change it.
//!
//! A stream is in the table from its SYN_STREAM until both directions are done: the peer's by FIN, ours by FIN or by
//! nobody reading any more; or until a RST_STREAM of either side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::codes::reset;
use super::frame::Frame;
use super::queue::Inbound;
use super::window::{INITIAL_WINDOW, Overflow, ReceiveWindow, SendWindow};

/// Bytes of frames that may wait to be written.
const OUT_ROOM: usize = 256 * 1024;
/// Received bytes that all streams together may hold unread.
pub(super) const IN_ROOM: usize = 4 * 1024 * 1024;

/// To the task that writes.
pub(super) enum Message {
    /// A frame, and the room it takes until it is written.
    Frame(Frame, Option<OwnedSemaphorePermit>),
    /// Close the sending direction.
    End,
}

pub(crate) struct Shared {
    pub(super) out: mpsc::UnboundedSender<Message>,
    pub(super) out_room: Arc<Semaphore>,
    pub(super) in_room: Arc<Semaphore>,
    table: Mutex<Table>,
    /// Send windows have grown.
    grown: Notify,
    /// The peer has ended the session, or broken it.
    pub(super) closed: CancellationToken,
}

struct Table {
    streams: HashMap<u32, Entry>,
    /// The last stream that the peer opened.
    last: u32,
    /// The peer has sent a WINDOW_UPDATE or set a window. spdystream never does, and would stall at 64 KiB.
    controls_flow: bool,
    session: SendWindow,
    initial: u32,
    session_read: ReceiveWindow,
    activity: Instant,
}

struct Entry {
    /// `None`: the peer has ended its direction.
    inbound: Option<Inbound>,
    out_open: bool,
    send: SendWindow,
    /// Cancelled when the stream was reset.
    reset: CancellationToken,
}

/// Where the data of a stream go.
pub(super) enum Target {
    Open(Inbound),
    /// The peer itself has ended the stream before.
    Ended,
    /// Done with, or never opened.
    Unknown {
        opened: bool,
    },
}

impl Shared {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Message>) {
        let (out, queue) = mpsc::unbounded_channel();
        let table = Table {
            streams: HashMap::new(),
            last: 0,
            controls_flow: false,
            session: SendWindow::new(INITIAL_WINDOW),
            initial: INITIAL_WINDOW,
            session_read: ReceiveWindow::default(),
            activity: Instant::now(),
        };
        let shared = Self {
            out,
            out_room: Arc::new(Semaphore::new(OUT_ROOM)),
            in_room: Arc::new(Semaphore::new(IN_ROOM)),
            table: Mutex::new(table),
            grown: Notify::new(),
            closed: CancellationToken::new(),
        };
        (Arc::new(shared), queue)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        self.table().activity = Instant::now();
    }

    pub(super) fn activity(&self) -> Instant {
        self.table().activity
    }

    pub(super) fn last(&self) -> u32 {
        self.table().last
    }

    /// Queues a frame at once. For frames whose number is bounded by what else is bounded.
    pub(super) fn send(&self, frame: Frame) {
        // Without a writer the session is over, and whoever asked will see that.
        let _ = self.out.send(Message::Frame(frame, None));
    }

    /// Queues a frame when there is room, so that a peer that asks without reading the answers is not answered for
    /// ever.
    pub(super) async fn send_paced(&self, frame: Frame) {
        let bytes = if let Frame::Data { data, .. } = &frame { data.len() } else { 64 };
        let room = u32::try_from(bytes.min(OUT_ROOM)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.out_room).acquire_many_owned(room).await.ok();
        let _ = self.out.send(Message::Frame(frame, permit));
    }

    pub(super) fn end(&self) {
        let _ = self.out.send(Message::End);
    }

    /// Enters a new stream; `false`: there are `limit` already.
    pub(super) fn open(&self, id: u32, inbound: Option<Inbound>, out_open: bool, limit: usize) -> bool {
        let mut table = self.table();
        table.last = id;
        if table.streams.len() >= limit {
            return false;
        }
        let send = SendWindow::new(table.initial);
        table.streams.insert(id, Entry { inbound, out_open, send, reset: CancellationToken::new() });
        true
    }

    pub(super) fn reset_token(&self, id: u32) -> Option<CancellationToken> {
        self.table().streams.get(&id).map(|s| s.reset.clone())
    }

    pub(super) fn target(&self, id: u32) -> Target {
        let table = self.table();
        match table.streams.get(&id) {
            Some(Entry { inbound: Some(inbound), .. }) => Target::Open(inbound.clone()),
            Some(_) => Target::Ended,
            None => Target::Unknown { opened: id <= table.last },
        }
    }

    /// The peer has ended its direction.
    pub(super) fn peer_ended(&self, id: u32) {
        let mut table = self.table();
        if let Some(entry) = table.streams.get_mut(&id) {
            entry.inbound = None;
            if !entry.out_open {
                table.streams.remove(&id);
            }
        }
    }

    /// Ends our direction, once.
    pub(super) fn finish(&self, id: u32) {
        let mut table = self.table();
        if let Some(entry) = table.streams.get_mut(&id)
            && std::mem::take(&mut entry.out_open)
        {
            if entry.inbound.as_ref().is_none_or(Inbound::is_unread) {
                table.streams.remove(&id);
            }
            self.send(Frame::Data { id, fin: true, data: Bytes::new() });
        }
    }

    /// Nobody reads the stream any more: what still comes is passed over.
    pub(super) fn abandon(&self, id: u32) {
        let mut table = self.table();
        if table.streams.get(&id).is_some_and(|s| !s.out_open) {
            table.streams.remove(&id);
        }
    }

    /// Forgets a stream that either side has reset.
    pub(super) fn remove(&self, id: u32) {
        if let Some(entry) = self.table().streams.remove(&id) {
            entry.reset.cancel();
        }
    }

    pub(super) fn reset(&self, id: u32, status: u32) {
        self.remove(id);
        self.send(Frame::RstStream { id, status });
    }

    /// The session is over: readers see the end, writers an error.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.table().streams.drain().for_each(|(_, entry)| entry.reset.cancel());
    }

    /// Gives bytes that were read, or passed over, back to the peer's session window.
    pub(super) fn consumed(&self, bytes: usize) {
        let give = self.table().session_read.consumed(bytes);
        if let Some(delta) = give {
            self.send(Frame::WindowUpdate { id: 0, delta });
        }
    }

    pub(super) fn grow_stream_of_peer(&self, id: u32, delta: u32) {
        if self.table().streams.get(&id).is_some_and(|s| s.inbound.is_some()) {
            self.send(Frame::WindowUpdate { id, delta });
        }
    }

    /// A WINDOW_UPDATE. The error: the window of the session overflows.
    pub(super) fn grow(&self, id: u32, delta: u32) -> Result<(), Overflow> {
        let mut table = self.table();
        table.controls_flow = true;
        let grown = match id {
            0 => table.session.grow(i64::from(delta)),
            _ => table.streams.get_mut(&id).map_or(Ok(()), |s| s.send.grow(i64::from(delta))),
        };
        drop(table);
        self.grown.notify_waiters();
        match grown {
            Err(Overflow) if id != 0 => {
                self.reset(id, reset::FLOW_CONTROL_ERROR);
                Ok(())
            }
            other => other,
        }
    }

    /// SETTINGS: streams that are open change by the difference.
    pub(super) fn set_initial_window(&self, size: u32) -> Result<(), Overflow> {
        let mut table = self.table();
        let difference = i64::from(size) - i64::from(table.initial);
        table.initial = size;
        table.controls_flow = true;
        let all = table.streams.values_mut().try_for_each(|s| s.send.grow(difference));
        drop(table);
        self.grown.notify_waiters();
        all
    }

    /// Waits until something may be sent on the stream and counts it as sent; `None`: the stream is gone.
    pub(super) async fn take_window(&self, id: u32, wanted: usize) -> Option<usize> {
        loop {
            let grown = self.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let mut table = self.table();
                let (controls, session) = (table.controls_flow, table.session);
                let entry = table.streams.get_mut(&id)?;
                let free = if controls { wanted.min(entry.send.available()).min(session.available()) } else { wanted };
                if free > 0 {
                    entry.send.take(free);
                    table.session.take(free);
                    return Some(free);
                }
            }
            grown.await;
        }
    }
}
