//! One connection to a shim: bytes in and out, and who waits for what.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cofferdam_pod_api::{
    Body, Decoder, MAX_FDS, MAX_FRAME, Op, Outcome, Request, StreamCredit, encode, error_from, opening,
    sync_after_magic,
};
use cofferdam_sandbox::PodError;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;

use crate::incoming::Incoming;
use crate::lock::lock;
use crate::waiting::Waiting;

/// Bytes to be sent, and the descriptors that go with the first of them.
struct Outgoing {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// What requests and streams hold of a connection.
pub(crate) struct Requester {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    state: Mutex<State>,
    waiting: Waiting,
    next_request: AtomicU64,
    next_stream: AtomicU32,
}

struct State {
    /// Why the connection is over, once it is.
    over: Option<PodError>,
    streams: HashMap<u32, Incoming>,
}

/// An answer that does not fit the request.
pub(crate) fn unexpected() -> PodError {
    PodError::Protocol("an answer to another question".into())
}

impl Requester {
    /// Sends one frame.
    pub(crate) fn send(&self, body: Body) {
        self.send_with(body, Vec::new());
    }

    fn send_with(&self, body: Body, fds: Vec<OwnedFd>) {
        let mut bytes = Vec::new();
        encode(&body.into(), &mut bytes);
        // Fails only when the connection is over, which every waiter is told.
        let _ = self.outgoing.send(Outgoing { bytes, fds });
    }

    /// Asks, and waits for the answer. A shim that does not give it in its time is hung, whoever still waits.
    pub(crate) async fn ask(&self, op: Op, fds: Vec<OwnedFd>) -> Result<Outcome, PodError> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let answered = {
            let state = lock(&self.state);
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            self.waiting.add(id, &op)
        };
        self.send_with(Body::Request(Request { id, fds: fds.len() as u32, op: Some(op) }), fds);
        answered.await.unwrap_or_else(|_| Err(PodError::Failed("the connection to the shim is over".into())))
    }

    /// A number for a new stream, known from now on.
    pub(crate) fn open_stream(&self, incoming: Incoming) -> Result<u32, PodError> {
        let number = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let mut state = lock(&self.state);
        if let Some(over) = &state.over {
            return Err(over.clone());
        }
        state.streams.insert(number, incoming);
        Ok(number)
    }

    /// Forgets a stream. `false`: it was over already.
    pub(crate) fn forget_stream(&self, stream: u32) -> bool {
        lock(&self.state).streams.remove(&stream).is_some()
    }

    /// The connection is over: everybody who waits is told.
    pub(crate) fn fail(&self, reason: &PodError) {
        let streams = {
            let mut state = lock(&self.state);
            state.over = Some(reason.clone());
            std::mem::take(&mut state.streams)
        };
        self.waiting.fail(reason);
        streams.into_values().for_each(|stream| stream.end(Err(reason.clone())));
    }

    fn handle(&self, body: Body) -> Result<(), PodError> {
        match body {
            Body::Response(response) => {
                let answer = match response.outcome {
                    Some(Outcome::Error(error)) => Err(error_from(error)),
                    Some(outcome) => Ok(outcome),
                    None => Err(PodError::Protocol("an answer of a later version".into())),
                };
                self.waiting.answer(response.id, answer);
            }
            Body::StreamData(data) => {
                let (stream, channel, length) = (data.stream, data.channel, data.data.len());
                let unread = lock(&self.state).streams.get_mut(&stream).is_some_and(|incoming| !incoming.data(data));
                if unread && length > 0 {
                    self.send(Body::StreamCredit(StreamCredit { stream, channel, bytes: length as u32 }));
                }
            }
            Body::StreamCredit(credit) => {
                if let Some(incoming) = lock(&self.state).streams.get_mut(&credit.stream) {
                    incoming.credit(credit.bytes)?;
                }
            }
            Body::StreamExit(exit) => {
                let incoming = lock(&self.state).streams.remove(&exit.stream);
                if let Some(incoming) = incoming {
                    incoming.end(exit.error.map_or(Ok(exit.code), |error| Err(error_from(error))));
                }
            }
            _ => return Err(PodError::Protocol("a frame that no shim sends".into())),
        }
        Ok(())
    }
}

/// The reading side of a fresh connection; `run` it.
pub(crate) struct Connection {
    pub(crate) requester: Arc<Requester>,
    read: OwnedReadHalf,
    decoder: Decoder,
    writer: tokio::task::JoinHandle<()>,
}

impl Connection {
    /// Says hello and waits for the answer.
    pub(crate) async fn open(mut socket: UnixStream) -> Result<Self, PodError> {
        let failed = |error: io::Error| PodError::Gone(format!("connection to the shim: {error}"));
        let epoch = random();
        send_all(&socket, &opening(epoch), &[]).await.map_err(failed)?;
        let mut decoder = Decoder::new(MAX_FRAME);
        let mut synced = false;
        let mut buffer = [0; 4096];
        let reply = loop {
            match sync_after_magic(&mut decoder, &mut synced).map_err(|error| PodError::Protocol(error.to_string()))? {
                Some(frame) => break frame.body,
                None => match socket.read(&mut buffer).await.map_err(failed)? {
                    0 => return Err(PodError::Gone("the shim closed the connection before its hello".into())),
                    length => decoder.push(&buffer[..length]),
                },
            }
        };
        match reply {
            Some(Body::HelloReply(reply)) if !reply.error.is_empty() => return Err(PodError::Failed(reply.error)),
            Some(Body::HelloReply(reply)) if reply.epoch == epoch => {}
            _ => return Err(PodError::Protocol("the shim's first frame is no answer to the hello".into())),
        }
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (read, write) = socket.into_split();
        let writer = tokio::spawn(write_all(write, queue));
        let state = Mutex::new(State { over: None, streams: HashMap::new() });
        let (waiting, next_request) = (Waiting::default(), AtomicU64::new(1));
        let requester = Requester { outgoing, state, waiting, next_request, next_stream: AtomicU32::new(1) };
        Ok(Connection { requester: Arc::new(requester), read, decoder, writer })
    }

    /// Reads until the connection is over, and says why; events go to the caller.
    pub(crate) async fn run(mut self, event: impl FnMut(cofferdam_pod_api::event::Kind)) -> Lost {
        let requester = self.requester.clone();
        let lost = tokio::select! {
            reason = self.read_all(event) => Lost::Broken(reason),
            reason = requester.waiting.overdue() => Lost::Hung(reason),
        };
        self.writer.abort();
        lost
    }

    async fn read_all(&mut self, mut event: impl FnMut(cofferdam_pod_api::event::Kind)) -> PodError {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => match frame.body {
                    Some(Body::Event(announced)) => announced.kind.into_iter().for_each(&mut event),
                    Some(body) => {
                        if let Err(error) = self.requester.handle(body) {
                            return error;
                        }
                    }
                    None => {}
                },
                Ok(None) => {
                    let mut buffer = [0; 16 * 1024];
                    match self.read.read(&mut buffer).await {
                        Ok(0) => return PodError::Failed("the shim closed the connection".into()),
                        Ok(length) => self.decoder.push(&buffer[..length]),
                        Err(error) => return PodError::Failed(format!("connection to the shim: {error}")),
                    }
                }
                Err(error) => return PodError::Protocol(error.to_string()),
            }
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It broke, or what came over it cannot be.
    Broken(PodError),
    /// The shim owes an answer for too long; says which.
    Hung(String),
}

async fn write_all(write: tokio::net::unix::OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(Outgoing { bytes, fds }) = queue.recv().await {
        if send_all(write.as_ref(), &bytes, &fds).await.is_err() {
            // The reading side notices as well, and tells everybody.
            return;
        }
    }
}

async fn send_all(socket: &UnixStream, mut bytes: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
    let mut fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    if fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one request"));
    }
    while !bytes.is_empty() {
        let sent = socket
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                    return Err(io::Error::other("no room for descriptors"));
                }
                Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
            })
            .await?;
        fds.clear();
        bytes = &bytes[sent..];
    }
    Ok(())
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Uniqueness is all that is asked for; time does as well where the kernel has no random numbers yet.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64),
    }
}
