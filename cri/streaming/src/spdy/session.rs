//! One SPDY session on the server's side: a task that reads, a task that writes.
//!
//! ```text
//! open --peer's EOF, idle, broken frame--> closed --finish--> gone
//!   \----------------finish (GOAWAY, flush, wait for the peer's EOF)-----/
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::frame::SETTING_INITIAL_WINDOW;
use super::shared::{Message, Shared, Target};
use super::{DecodeError, Decoder, Encoder, Frame, Headers, StreamRead, StreamWrite, goaway, open_write, reset};

/// Streams that a session may have at a time: a port-forward has two a connection.
const MAX_STREAMS: usize = 1024;
/// How long the peer may take to read what is left after the end.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the peer may then take to close. Closing first, with its bytes unread, would destroy what we sent last.
const LINGER: Duration = Duration::from_secs(2);

/// Why a session ended by our decision.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("stream {id} opened after stream {last}: ids are odd and grow")]
    StreamId { id: u32, last: u32 },
    #[error("SYN_REPLY for stream {0}, which this end has not opened")]
    Reply(u32),
    #[error("a window grows over 2^31-1")]
    Window,
    #[error("nothing was sent or received for {0:?}")]
    Idle(Duration),
    #[error("read: {0}")]
    Read(#[from] std::io::Error),
}

/// A stream that the peer has opened and that waits for an answer.
pub(crate) struct Incoming {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    /// What the peer sends on it.
    pub(crate) read: StreamRead,
    shared: Arc<Shared>,
}

impl Incoming {
    /// Accepts the stream.
    pub(crate) fn accept(self) -> (StreamRead, StreamWrite) {
        self.shared.send(Frame::SynReply { id: self.id, fin: false, headers: Headers::default() });
        let write = open_write(&self.shared, self.id);
        (self.read, write)
    }

    /// Refuses it.
    pub(crate) fn refuse(self, status: u32) {
        self.shared.reset(self.id, status);
    }
}

pub(crate) struct Session {
    shared: Arc<Shared>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Session {
    /// Speaks SPDY over `io`; ends by itself when nothing was sent or received for `idle`.
    pub(crate) fn start(io: impl AsyncRead + AsyncWrite + Send + 'static, idle: Duration) -> Self {
        let (read, write) = tokio::io::split(io);
        let (shared, queue) = Shared::new();
        let (streams, incoming) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_frames(Arc::clone(&shared), write, queue));
        let for_reader = Arc::clone(&shared);
        let reader = tokio::spawn(async move {
            let ended = read_frames(&for_reader, read, streams, idle).await;
            if let Err(reason) = ended {
                tracing::warn!(%reason, "streaming connection ended");
                let last = for_reader.last();
                for_reader.send(Frame::GoAway { last, status: goaway::PROTOCOL_ERROR });
            }
            for_reader.end();
            for_reader.close();
        });
        Self { shared, incoming, reader, writer }
    }

    /// The next stream that the peer opens; `None`: the session is over.
    pub(crate) async fn accept(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Refuses whatever else the peer opens; ends when the session is over.
    pub(crate) async fn refuse_more(&mut self) {
        loop {
            tokio::select! {
                () = self.shared.closed.cancelled() => return,
                stream = self.incoming.recv() => match stream {
                    Some(stream) => stream.refuse(reset::REFUSED),
                    None => return self.shared.closed.cancelled().await,
                }
            }
        }
    }

    /// Resets a stream that was accepted.
    pub(crate) fn resetter(&self) -> impl Fn(u32) + Send + Clone + 'static {
        let shared = Arc::clone(&self.shared);
        move |id| shared.reset(id, reset::CANCEL)
    }

    /// Sends what is queued and GOAWAY, and waits, for a bounded time, until the peer has it all.
    pub(crate) async fn finish(mut self) {
        self.shared.send(Frame::GoAway { last: self.shared.last(), status: goaway::OK });
        self.shared.end();
        if timeout(FLUSH, &mut self.writer).await.is_err() {
            tracing::debug!("streaming peer reads no more: its connection is cut");
        } else if timeout(LINGER, self.shared.closed.cancelled()).await.is_err() {
            tracing::debug!("streaming peer does not close: its connection is cut");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
        self.shared.close();
    }
}

async fn write_frames(
    shared: Arc<Shared>,
    mut io: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Message>,
) {
    const BATCH: usize = 64 * 1024;
    let mut encoder = Encoder::default();
    let mut bytes = BytesMut::new();
    let mut next = queue.recv().await;
    while let Some(message) = next.take() {
        let mut rooms = Vec::new();
        let mut end = false;
        let mut current = Some(message);
        while let Some(message) = current {
            match message {
                Message::Frame(frame, room) => {
                    encoder.encode(&frame, &mut bytes);
                    rooms.push(room);
                }
                Message::End => end = true,
            }
            current = if end || bytes.len() >= BATCH { None } else { queue.try_recv().ok() };
        }
        if io.write_all(&bytes).await.is_err() || io.flush().await.is_err() {
            return shared.close();
        }
        shared.touch();
        bytes.clear();
        drop(rooms);
        if end {
            let _ = io.shutdown().await;
            return;
        }
        next = queue.recv().await;
    }
}

async fn read_frames(
    shared: &Arc<Shared>,
    mut io: impl AsyncRead + Unpin,
    streams: mpsc::UnboundedSender<Incoming>,
    idle: Duration,
) -> Result<(), Broken> {
    let mut decoder = Decoder::default();
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(32 * 1024);
        match timeout_at(shared.activity() + idle, io.read_buf(&mut bytes)).await {
            Err(_) if shared.activity() + idle > Instant::now() => continue,
            Err(_) => return Err(Broken::Idle(idle)),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Ok(read) => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
        shared.touch();
        while let Some(frame) = decoder.decode(&mut bytes)? {
            handle(shared, &streams, frame).await?;
            if shared.closed.is_cancelled() {
                return Ok(());
            }
        }
    }
}

async fn handle(shared: &Arc<Shared>, streams: &mpsc::UnboundedSender<Incoming>, frame: Frame) -> Result<(), Broken> {
    match frame {
        Frame::SynStream { id, fin, unidirectional, headers } => {
            let last = shared.last();
            if id % 2 == 0 || id <= last {
                return Err(Broken::StreamId { id, last });
            }
            let (inbound, read) = StreamRead::new(id, Arc::clone(shared));
            let opened = shared.open(id, (!fin).then_some(inbound), !unidirectional, MAX_STREAMS);
            let incoming = Incoming { id, headers, read, shared: Arc::clone(shared) };
            if !opened || streams.is_closed() {
                shared.remove(id);
                shared.send_paced(Frame::RstStream { id, status: reset::REFUSED }).await;
            } else if let Err(unwanted) = streams.send(incoming) {
                unwanted.0.refuse(reset::REFUSED);
            }
        }
        Frame::Data { id, fin, data } => receive(shared, id, fin, data).await,
        Frame::Headers { id, fin: true, .. } => shared.peer_ended(id),
        Frame::RstStream { id, .. } => shared.remove(id),
        // Numbers of the peer's own are odd; the answer to one of ours would be even, but we ask nothing.
        Frame::Ping(number) if number % 2 == 1 => shared.send_paced(Frame::Ping(number)).await,
        Frame::WindowUpdate { id, delta } => shared.grow(id, delta).map_err(|_| Broken::Window)?,
        Frame::Settings(settings) => {
            for (_, size) in settings.iter().filter(|(id, _)| *id == SETTING_INITIAL_WINDOW) {
                shared.set_initial_window(*size).map_err(|_| Broken::Window)?;
            }
        }
        Frame::SynReply { id, .. } => return Err(Broken::Reply(id)),
        // After a GOAWAY the peer opens nothing more, and closes when its streams are done.
        Frame::Ping(_) | Frame::Headers { .. } | Frame::GoAway { .. } => {}
    }
    Ok(())
}

async fn receive(shared: &Arc<Shared>, id: u32, fin: bool, data: bytes::Bytes) {
    let bytes = data.len();
    match shared.target(id) {
        Target::Open(inbound) => {
            if bytes > 0 && !shared.deliver(&inbound, data).await {
                shared.consumed(bytes);
            }
            if fin {
                shared.peer_ended(id);
            }
        }
        Target::Ended => {
            shared.consumed(bytes);
            shared.remove(id);
            shared.send_paced(Frame::RstStream { id, status: reset::ALREADY_CLOSED }).await;
        }
        // A stream that is done with: the peer may not know yet.
        Target::Unknown { opened: true } => shared.consumed(bytes),
        Target::Unknown { opened: false } => {
            shared.consumed(bytes);
            shared.send_paced(Frame::RstStream { id, status: reset::INVALID_STREAM }).await;
        }
    }
}
