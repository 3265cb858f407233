//! The streaming server's way to the pods: exec, attach and port-forward.

use std::sync::Weak;

use cofferdam_sandbox::Streams;
use cofferdam_streaming::{AttachRequest, ExecRequest, ExitStatus, PortDuplex, StreamBackend, StreamError, StreamIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy};
use tonic::async_trait;

use crate::containers::exec_spec;
use crate::error::Error;
use crate::runtime::Runtime;

/// What the streaming server works on. It holds the runtime weakly, since the runtime holds the streaming server.
pub struct Backend(pub Weak<Runtime>);

impl Backend {
    fn runtime(&self) -> Result<std::sync::Arc<Runtime>, StreamError> {
        self.0.upgrade().ok_or_else(|| StreamError::new("the daemon is shutting down"))
    }
}

#[async_trait]
impl StreamBackend for Backend {
    async fn exec(&self, request: ExecRequest, io: StreamIo) -> Result<ExitStatus, StreamError> {
        let runtime = self.runtime()?;
        let entry = runtime.containers.find(&request.container_id)?;
        let spec = exec_spec(&entry, &request.cmd, request.tty, request.stdin)?;
        let pod = runtime.containers.sandbox_of(&entry)?.pod();
        drop(runtime);
        let streams = pod.exec(&spec, request.stdout, request.stderr && !request.tty).await.map_err(Error::from)?;
        join(streams, io).await
    }

    async fn attach(&self, request: AttachRequest, io: StreamIo) -> Result<ExitStatus, StreamError> {
        let runtime = self.runtime()?;
        let entry = runtime.containers.find(&request.container_id)?;
        let pod = runtime.containers.sandbox_of(&entry)?.pod();
        drop(runtime);
        let streams = pod
            .attach(&entry.id, request.stdin, request.stdout, request.stderr && !request.tty)
            .await
            .map_err(Error::from)?;
        join(streams, io).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16, duplex: PortDuplex) -> Result<(), StreamError> {
        let runtime = self.runtime()?;
        let sandbox =
            runtime.pods.live(sandbox_id).ok_or_else(|| StreamError::new("the pod sandbox is not running"))?;
        drop(runtime);
        let port = sandbox.pod().dial(port).await.map_err(Error::from)?;
        tokio::join!(carry(Some(duplex.read), Some(port.write)), carry(Some(port.read), Some(duplex.write)));
        Ok(())
    }
}

/// Copies until the process has ended and all its output is delivered. A client that goes away ends the copying; the
/// process goes on until its stdin or the pod ends, as with other runtimes.
async fn join(streams: Streams, io: StreamIo) -> Result<ExitStatus, StreamError> {
    let Streams { stdin, stdout, stderr, resize, exit, kill: _kill } = streams;
    let StreamIo { stdin: from_client, stdout: to_client, stderr: to_client_err, resize: mut sizes } = io;
    let mut side_tasks = tokio::task::JoinSet::new();
    side_tasks.spawn(async move {
        if let (Some(from), Some(to)) = (from_client, stdin) {
            carry(Some(from), Some(to)).await;
        }
    });
    side_tasks.spawn(async move {
        while let Some(size) = sizes.recv().await {
            if resize.send((size.width, size.height)).await.is_err() {
                break;
            }
        }
    });
    tokio::join!(carry(stdout, to_client), carry(stderr, to_client_err));
    // Dropping the side tasks ends them: nothing more is typed into a process that has ended.
    match exit.await {
        Ok(Ok(code)) => Ok(ExitStatus { code }),
        Ok(Err(error)) => Err(StreamError::new(error.to_string())),
        Err(_) => Err(StreamError::new("the sandbox died")),
    }
}

/// Copies one stream to its end. Either end may go away at any time, which is no error.
async fn carry(from: Option<impl AsyncRead + Unpin>, to: Option<impl AsyncWrite + Unpin>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        let _ = copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    }
}
