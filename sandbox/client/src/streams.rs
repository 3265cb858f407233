//! The streams of execs, attaches and connections as readers and writers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use cofferdam_pod_api::{
    Body, KillStream, MAX_DATA, Op, Receive, Resize, STDERR, STDIN, STDOUT, StreamClose, StreamCredit, StreamData,
};
use cofferdam_sandbox::{ByteStreams, PodError, Reader, Streams, Writer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

use crate::incoming::{Incoming, Input};
use crate::lock::lock;
use crate::requester::Requester;

/// Held by everything that is left of a stream; when the last is dropped, the shim is told.
struct Hold {
    requester: Arc<Requester>,
    stream: u32,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.requester.forget_stream(self.stream) {
            self.requester.send(Body::StreamClose(StreamClose { stream: self.stream }));
        }
    }
}

struct Output {
    hold: Arc<Hold>,
    channel: u32,
    data: mpsc::UnboundedReceiver<Vec<u8>>,
    current: Vec<u8>,
    taken: usize,
    receive: Receive,
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken == this.current.len() {
            match this.data.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(data)) => {
                    this.current = data;
                    this.taken = 0;
                }
            }
        }
        let length = into.remaining().min(this.current.len() - this.taken);
        into.put_slice(&this.current[this.taken..this.taken + length]);
        this.taken += length;
        // The shim keeps the exact account; here only what was taken is given back.
        let _ = this.receive.received(length);
        if let Some(bytes) = this.receive.consumed(length) {
            let (stream, channel) = (this.hold.stream, this.channel);
            this.hold.requester.send(Body::StreamCredit(StreamCredit { stream, channel, bytes }));
        }
        Poll::Ready(Ok(()))
    }
}

struct InputWriter {
    hold: Arc<Hold>,
    input: Arc<Mutex<Input>>,
    closed: bool,
}

impl InputWriter {
    fn send(&self, data: Vec<u8>, eof: bool) {
        self.hold.requester.send(Body::StreamData(StreamData { stream: self.hold.stream, channel: STDIN, data, eof }));
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) && !lock(&self.input).over {
            self.send(Vec::new(), true);
        }
    }
}

impl AsyncWrite for InputWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let length = {
            let mut input = lock(&self.input);
            if input.over || self.closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let length = data.len().min(input.credit.available()).min(MAX_DATA);
            if length == 0 && !data.is_empty() {
                input.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            input.credit.sent(length);
            length
        };
        self.send(data[..length].to_vec(), false);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for InputWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// A stream that is known here, and not yet to the shim.
pub(crate) struct Opening {
    /// Its number, for the request.
    pub(crate) stream: u32,
    hold: Arc<Hold>,
    input: Arc<Mutex<Input>>,
    outputs: [Option<mpsc::UnboundedReceiver<Vec<u8>>>; 2],
    exit: oneshot::Receiver<Result<i32, PodError>>,
}

impl Opening {
    /// Makes a stream known, so that what the shim sends right after its answer finds it.
    pub(crate) fn new(requester: &Arc<Requester>, stdout: bool, stderr: bool) -> Result<Self, PodError> {
        let (sent, exit) = oneshot::channel();
        let input = Arc::new(Mutex::new(Input::default()));
        let (stdout_in, stdout) = channel(stdout);
        let (stderr_in, stderr) = channel(stderr);
        let stream = requester.open_stream(Incoming::new([stdout_in, stderr_in], input.clone(), sent))?;
        let hold = Arc::new(Hold { requester: requester.clone(), stream });
        Ok(Opening { stream, hold, input, outputs: [stdout, stderr], exit })
    }

    fn reader(&mut self, channel: u32) -> Option<Reader> {
        let data = self.outputs[(channel - STDOUT) as usize].take()?;
        let (hold, current) = (self.hold.clone(), Vec::new());
        Some(Box::new(Output { hold, channel, data, current, taken: 0, receive: Receive::default() }))
    }

    fn writer(&self) -> Writer {
        Box::new(InputWriter { hold: self.hold.clone(), input: self.input.clone(), closed: false })
    }

    /// The shim has opened it.
    pub(crate) fn into_streams(mut self, stdin: bool, kill: bool) -> Streams {
        let (resize, sizes) = mpsc::channel(4);
        let (exit_in, exit) = oneshot::channel();
        let (kill_in, killed) = oneshot::channel();
        let streams = Streams {
            stdin: stdin.then(|| self.writer()),
            stdout: self.reader(STDOUT),
            stderr: self.reader(STDERR),
            resize,
            exit,
            kill: kill.then_some(kill_in),
        };
        tokio::spawn(steer(self.hold, sizes, killed, self.exit, exit_in));
        streams
    }

    /// The shim has opened it: a connection.
    pub(crate) fn into_bytes(mut self) -> Option<ByteStreams> {
        let write = self.writer();
        self.reader(STDOUT).map(|read| ByteStreams { read, write })
    }
}

type Channel = (Option<mpsc::UnboundedSender<Vec<u8>>>, Option<mpsc::UnboundedReceiver<Vec<u8>>>);

// Unbounded in type only: a shim sends no more than the credit it was given.
fn channel(wanted: bool) -> Channel {
    match wanted {
        true => {
            let (sender, receiver) = mpsc::unbounded_channel();
            (Some(sender), Some(receiver))
        }
        false => (None, None),
    }
}

/// Passes sizes and the kill on, and the exit back. Holds the stream until its user has dropped the exit.
async fn steer(
    hold: Arc<Hold>,
    mut sizes: mpsc::Receiver<(u16, u16)>,
    mut killed: oneshot::Receiver<()>,
    mut ended: oneshot::Receiver<Result<i32, PodError>>,
    mut exit: oneshot::Sender<Result<i32, PodError>>,
) {
    let (requester, stream) = (hold.requester.clone(), hold.stream);
    let (mut sizes_open, mut kill_open) = (true, true);
    loop {
        tokio::select! {
            biased;
            result = &mut ended => {
                let _ = exit.send(result.unwrap_or_else(|_| Err(PodError::Failed("the stream is over".into()))));
                return;
            }
            kill = &mut killed, if kill_open => {
                kill_open = false;
                if kill.is_ok()
                    && let Err(error) = requester.ask(Op::KillStream(KillStream { stream }), Vec::new()).await
                {
                    tracing::debug!(stream, %error, "kill of an exec");
                }
            }
            size = sizes.recv(), if sizes_open => match size {
                Some((columns, rows)) => {
                    let (columns, rows) = (columns.into(), rows.into());
                    if let Err(error) = requester.ask(Op::Resize(Resize { stream, columns, rows }), Vec::new()).await {
                        tracing::debug!(stream, %error, "terminal size");
                    }
                }
                None => sizes_open = false,
            },
            () = exit.closed() => return,
        }
    }
}
