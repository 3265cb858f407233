//! One exec or attach: gather the streams, run, report.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::spdy::{Incoming, Session, StreamRead, StreamWrite, reset};
use crate::{AttachRequest, ExecRequest, ExitStatus, StreamBackend, StreamError, StreamIo, resize, status};

/// How long a connection may be silent: as long as with other runtimes, since a shell may be left alone.
pub(crate) const IDLE: Duration = Duration::from_secs(4 * 60 * 60);
/// How long a client may take to open its streams.
pub(crate) const CREATION: Duration = Duration::from_secs(30);

pub(crate) enum Command {
    Exec(ExecRequest),
    Attach(AttachRequest),
}

/// Which streams the client opens, by request and subprotocol.
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    resize: bool,
}

impl Command {
    fn wanted(&self, protocol: Option<&str>) -> Wanted {
        let (tty, stdin, stdout, stderr) = match self {
            Command::Exec(r) => (r.tty, r.stdin, r.stdout, r.stderr),
            Command::Attach(r) => (r.tty, r.stdin, r.stdout, r.stderr),
        };
        // The two oldest protocols cannot resize.
        let resize = tty && matches!(protocol, Some("v4.channel.k8s.io" | "v3.channel.k8s.io"));
        Wanted { stdin, stdout, stderr: stderr && !tty, resize }
    }
}

type Pair = (StreamRead, StreamWrite);

#[derive(Default)]
struct Opened {
    error: Option<Pair>,
    stdin: Option<Pair>,
    stdout: Option<Pair>,
    stderr: Option<Pair>,
    resize: Option<Pair>,
}

impl Opened {
    fn complete(&self, wanted: &Wanted) -> bool {
        let has = |wanted: bool, slot: &Option<Pair>| !wanted || slot.is_some();
        self.error.is_some()
            && has(wanted.stdin, &self.stdin)
            && has(wanted.stdout, &self.stdout)
            && has(wanted.stderr, &self.stderr)
            && has(wanted.resize, &self.resize)
    }

    /// Accepts a stream of a known type, wanted or not: clients wait for the answer to each before they open the next.
    fn add(&mut self, stream: Incoming) {
        let slot = match stream.headers.get("streamtype") {
            Some("error") => &mut self.error,
            Some("stdin") => &mut self.stdin,
            Some("stdout") => &mut self.stdout,
            Some("stderr") => &mut self.stderr,
            Some("resize") => &mut self.resize,
            _ => return stream.refuse(reset::REFUSED),
        };
        match slot {
            None => *slot = Some(stream.accept()),
            Some(_) => stream.refuse(reset::REFUSED),
        }
    }
}

/// Serves an upgraded connection to its end.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    protocol: Option<&'static str>,
    command: Command,
    backend: Arc<dyn StreamBackend>,
) {
    let mut session = Session::start(io, IDLE);
    let wanted = command.wanted(protocol);
    let mut opened = Opened::default();
    if timeout(CREATION, gather(&mut session, &wanted, &mut opened)).await.is_err() {
        tracing::debug!("streaming client did not open its streams in time");
    }
    let all = opened.complete(&wanted);
    let Some((_, error)) = opened.error.take() else { return session.finish().await };
    let outcome = if all {
        tokio::select! {
            outcome = run(command, &wanted, opened, &*backend) => outcome,
            // The client has gone or broke the protocol; whatever ran for it is dropped.
            () = session.refuse_more() => return session.finish().await,
        }
    } else {
        Err(StreamError::new(format!("the streams were not opened within {CREATION:?}")))
    };
    let message = if protocol == Some("v4.channel.k8s.io") { status::v4(&outcome) } else { status::plain(&outcome) };
    error.close_with(&message).await;
    session.finish().await;
}

async fn gather(session: &mut Session, wanted: &Wanted, opened: &mut Opened) {
    while !opened.complete(wanted) {
        match session.accept().await {
            Some(stream) => opened.add(stream),
            None => return,
        }
    }
}

/// Ends when the backend has and all its output is on the way, so that the status comes after it.
async fn run(
    command: Command,
    wanted: &Wanted,
    opened: Opened,
    backend: &dyn StreamBackend,
) -> Result<ExitStatus, StreamError> {
    // Clients take the end of our direction of stdin for the end of the process: it is kept until then.
    let (stdin, _until_the_end) = opened.stdin.unzip();
    let (stdout, stdout_done) = output(opened.stdout, wanted.stdout);
    let (stderr, stderr_done) = output(opened.stderr, wanted.stderr);
    let (sizes, resize) = mpsc::channel(1);
    let (resize_stream, _until_the_end) = opened.resize.filter(|_| wanted.resize).unzip();
    let io = StreamIo {
        stdin: stdin.filter(|_| wanted.stdin).map(|s| Box::new(s) as _),
        stdout: stdout.map(|s| Box::new(s) as _),
        stderr: stderr.map(|s| Box::new(s) as _),
        resize,
    };
    let resizing = async {
        match resize_stream {
            Some(stream) => resize::forward(stream, sizes).await,
            None => drop(sizes),
        }
        std::future::pending().await
    };
    let running = async {
        match command {
            Command::Exec(request) => backend.exec(request, io).await,
            Command::Attach(request) => backend.attach(request, io).await,
        }
    };
    let outcome = tokio::select! {
        outcome = running => outcome,
        never = resizing => never,
    };
    for done in [stdout_done, stderr_done].into_iter().flatten() {
        // `false`, or a task that died, says that nobody is left to have the rest.
        let _ = done.await;
    }
    outcome
}

/// Splits an output stream; one that was not asked for ends at once.
fn output(stream: Option<Pair>, wanted: bool) -> (Option<tokio::io::DuplexStream>, Option<JoinHandle<bool>>) {
    stream.filter(|_| wanted).map(|(_, write)| (write.pipe, write.done)).unzip()
}
