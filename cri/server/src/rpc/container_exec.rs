//! ExecSync, and the URL of a streaming Exec.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{Reader, Streams};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::containers::exec_spec;
use crate::error::Error;
use crate::runtime::Runtime;

/// Output of each stream that is kept: two of them stay below gRPC's 16 MiB message limit. The rest is read and
/// dropped, so that the command goes on (CVE-2022-1708).
const KEPT: usize = 7 << 20;

/// Runs a command to its end, or to the request's timeout; then it is killed.
pub(super) async fn exec_sync(
    runtime: &Runtime,
    request: cri::ExecSyncRequest,
) -> Result<cri::ExecSyncResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    let spec = exec_spec(&entry, &request.cmd, false, false)?;
    let limit = u64::try_from(request.timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let late = || Error::Deadline(format!("command {:?} timed out after {} s", request.cmd, request.timeout));
    let pod = runtime.containers.sandbox_of(&entry)?.pod();
    let mut opening = tokio::spawn(async move { pod.exec(&spec, true, true).await });
    let Some(opened) = before(deadline, &mut opening).await else {
        // A sandbox that answers only now has started what nobody waits for any more.
        tokio::spawn(async move {
            if let Ok(Ok(Streams { kill: Some(kill), .. })) = opening.await {
                let _ = kill.send(());
            }
        });
        return Err(late());
    };
    let streams = opened.map_err(|e| Error::Internal(e.to_string()))??;
    let stdout = tokio::spawn(read_bounded(streams.stdout));
    let stderr = tokio::spawn(read_bounded(streams.stderr));
    let Some(exit) = before(deadline, streams.exit).await else {
        if let Some(kill) = streams.kill {
            // An exec that ended just now has nobody to be told.
            let _ = kill.send(());
        }
        return Err(late());
    };
    let lost = |_| Error::Unavailable("the sandbox died during the exec".into());
    let exit_code = exit.map_err(lost)??;
    let output = |joined: Result<Vec<u8>, tokio::task::JoinError>| joined.map_err(|e| Error::Internal(e.to_string()));
    Ok(cri::ExecSyncResponse { stdout: output(stdout.await)?, stderr: output(stderr.await)?, exit_code })
}

/// The outcome, unless the deadline comes first.
async fn before<T>(deadline: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, what).await.ok(),
        None => Some(what.await),
    }
}

/// The container has to run. Checks here what would fail only when the URL is used.
pub(super) async fn url(runtime: &Runtime, request: cri::ExecRequest) -> Result<cri::ExecResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    exec_spec(&entry, &request.cmd, request.tty, request.stdin)?;
    if request.tty && request.stderr {
        return Err(Error::Invalid("stderr: a terminal has only one output".into()));
    }
    if !(request.stdin || request.stdout || request.stderr) {
        return Err(Error::Invalid("one of stdin, stdout and stderr must be set".into()));
    }
    let url = runtime.stream_server()?.exec_url(cofferdam_streaming::ExecRequest {
        container_id: entry.id.clone(),
        cmd: request.cmd,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    });
    Ok(cri::ExecResponse { url: url? })
}

/// Reads to the end; keeps the first of it.
async fn read_bounded(from: Option<Reader>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&buffer[..room]);
    }
    kept
}
