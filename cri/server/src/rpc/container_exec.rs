//! ExecSync, and the URL of a streaming Exec.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ExecSpec, Reader, Streams};
use cofferdam_store::{ContainerEntry, ContainerPhase};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::{Error, Runtime, ids};

/// Output of each stream that is kept: two of them stay below gRPC's 16 MiB message limit. The rest is read and dropped,
/// so that the command goes on (CVE-2022-1708).
const KEPT: usize = 7 << 20;

pub(super) async fn exec_sync(
    runtime: &Arc<Runtime>,
    request: cri::ExecSyncRequest,
) -> Result<cri::ExecSyncResponse, Error> {
    let entry = runtime.container(&request.container_id)?;
    let spec = spec(&entry, &request.cmd, false, false)?;
    let limit = u64::try_from(request.timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let late = || Error::Deadline(format!("command {:?} timed out after {} s", request.cmd, request.timeout));
    let pod = runtime.sandbox_of(&entry)?.pod();
    let mut opening = tokio::spawn(async move { pod.exec(&spec, true, true).await });
    let Some(opened) = by(deadline, &mut opening).await else {
        // A sandbox that answers only now has started what nobody waits for any more.
        tokio::spawn(async move {
            if let Ok(Ok(Streams { kill: Some(kill), .. })) = opening.await {
                let _ = kill.send(());
            }
        });
        return Err(late());
    };
    let streams = opened.map_err(|e| Error::Internal(e.to_string()))??;
    let stdout = tokio::spawn(keep(streams.stdout));
    let stderr = tokio::spawn(keep(streams.stderr));
    let Some(exit) = by(deadline, streams.exit).await else {
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
async fn by<T>(deadline: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, what).await.ok(),
        None => Some(what.await),
    }
}

pub(super) fn url(runtime: &Runtime, request: &cri::ExecRequest) -> Result<cri::ExecResponse, Error> {
    let entry = runtime.container(&request.container_id)?;
    running(&entry)?;
    command(&request.cmd)?;
    if request.tty && request.stderr {
        return Err(Error::Invalid("stderr: a terminal has only one output".into()));
    }
    if !(request.stdin || request.stdout || request.stderr) {
        return Err(Error::Invalid("one of stdin, stdout and stderr must be set".into()));
    }
    let url = runtime.stream_server()?.exec_url(cofferdam_streaming::ExecRequest {
        container_id: entry.id.clone(),
        cmd: request.cmd.clone(),
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    });
    Ok(cri::ExecResponse { url: url? })
}

/// A process with the privileges of the container's first one.
pub(crate) fn spec(entry: &ContainerEntry, cmd: &[String], terminal: bool, stdin: bool) -> Result<ExecSpec, Error> {
    running(entry)?;
    command(cmd)?;
    let mut process = entry.process.clone();
    process.set_args(Some(cmd.to_vec()));
    process.set_terminal(Some(terminal));
    if terminal {
        let env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|v| v.starts_with("TERM=")) {
            process.set_env(Some([env, vec!["TERM=xterm".into()]].concat()));
        }
    }
    Ok(ExecSpec { container: entry.id.clone(), id: ids::new(), process, stdin })
}

fn running(entry: &ContainerEntry) -> Result<(), Error> {
    match entry.phase {
        ContainerPhase::Running => Ok(()),
        _ => Err(Error::Precondition(format!("container {} is not running", entry.id))),
    }
}

fn command(cmd: &[String]) -> Result<(), Error> {
    if cmd.first().is_none_or(String::is_empty) { Err(Error::Invalid("cmd: is empty".into())) } else { Ok(()) }
}

async fn keep(from: Option<Reader>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&buffer[..room]);
    }
    kept
}
